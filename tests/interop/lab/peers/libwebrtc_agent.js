// libwebrtc as a peer (npm @roamhq/wrtc), as browsers have it. Its raw datagrams cannot be reached, so this
// adapter shows the connection alone: the far side's fingerprint is made up, DTLS never finishes, no test data flows.
// The side that offers controls; the answering side has credentials only once it knows the offer. One TURN server a kind.
"use strict";

const { candidateValue, parseOptions, quit, readLines, say, sayEvent } = require("./lines.js");
const { RTCPeerConnection } = require("@roamhq/wrtc");

const WATCH_INTERVAL_MS = 5;

const options = parseOptions();
const bracketed = (endpoint) => `${endpoint.host.includes(":") ? `[${endpoint.host}]` : endpoint.host}:${endpoint.port}`;
const login = { username: options.user, credential: options.password };
const iceServers = [];
if (options.stun) iceServers.push({ urls: `stun:${bracketed(options.stun)}` });
if (options.turn) iceServers.push({ urls: `turn:${bracketed(options.turn)}?transport=udp`, ...login });
if (options.turnTcp) iceServers.push({ urls: `turn:${bracketed(options.turnTcp)}?transport=tcp`, ...login });

const connection = new RTCPeerConnection({ iceServers, iceTransportPolicy: options.relayOnly ? "relay" : "all" });
const early = [];
let described = false;
let usable = false;
let concluded = false;
let sayLocal;
const said = new Promise((resolve) => (sayLocal = resolve));

const lineOf = (sdp, name) => sdp.split(/\r?\n/).find((line) => line.startsWith(`a=${name}:`))?.slice(name.length + 3);

// The far side has no DTLS; enough of an SDP to hand over its ICE credentials.
function remoteDescription(message) {
  return [
    "v=0",
    "o=- 1 1 IN IP4 127.0.0.1",
    "s=-",
    "t=0 0",
    "a=group:BUNDLE 0",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "c=IN IP4 0.0.0.0",
    "a=mid:0",
    `a=ice-ufrag:${message.ufrag}`,
    `a=ice-pwd:${message.pwd}`,
    "a=ice-options:trickle",
    `a=fingerprint:sha-256 ${Array(32).fill("AB").join(":")}`,
    `a=setup:${options.iceControlling ? "active" : "actpass"}`,
    "a=sctp-port:5000",
    "a=max-message-size:262144",
    "",
  ].join("\r\n");
}

async function describe(description) {
  await connection.setLocalDescription(description);
  const sdp = connection.localDescription.sdp;
  say("local", { ufrag: lineOf(sdp, "ice-ufrag"), pwd: lineOf(sdp, "ice-pwd") });
  sayLocal();
}

// The library's own state waits for DTLS, which never comes. Its statistics tell about the pairs.
async function watch() {
  const stats = await connection.getStats();
  const pairs = [...stats.values()].filter((entry) => entry.type === "candidate-pair" && entry.state === "succeeded");
  if (pairs.length && !usable) {
    usable = true;
    sayEvent("first_valid");
  }
  const pair = pairs.find((entry) => entry.nominated);
  if (pair && !concluded) {
    concluded = true;
    sayEvent("connected");
    const kind = (id) => stats.get(id)?.candidateType ?? "?";
    say("pair", { local: kind(pair.localCandidateId), remote: kind(pair.remoteCandidateId) });
  }
  if (!concluded) setTimeout(watch, WATCH_INTERVAL_MS);
}

async function start() {
  connection.oniceconnectionstatechange = () => {
    const state = connection.iceConnectionState;
    if (state === "disconnected") sayEvent("disconnected");
    if (state === "failed") sayEvent(usable ? "lost" : "failed", { why: state });
  };
  connection.onicecandidate = ({ candidate }) => {
    // Candidates may be known before the description has been said.
    said.then(() => {
      if (candidate?.candidate) return say("candidate", { candidate: candidate.candidate });
      say("end");
      return sayEvent("gathered");
    });
  };
  if (options.iceControlling) {
    connection.createDataChannel("peer");
    await describe(await connection.createOffer());
  }
  watch();
}

async function remote(message) {
  const type = options.iceControlling ? "answer" : "offer";
  await connection.setRemoteDescription({ type, sdp: remoteDescription(message) });
  if (type === "offer") await describe(await connection.createAnswer());
  described = true;
  for (const line of early.splice(0)) await add(line);
}

const add = (candidate) => connection.addIceCandidate({ candidate, sdpMid: "0", sdpMLineIndex: 0 });

async function obey(message) {
  switch (message.type) {
    case "start":
      await start();
      break;
    case "remote":
      await remote(message);
      break;
    case "candidate": {
      const line = `candidate:${candidateValue(message)}`;
      if (described) await add(line);
      else early.push(line);
      break;
    }
    case "end":
      break;
    default:
      say("error", { why: `unsupported: ${message.type}` });
  }
}

// One at a time: each step of the description exchange needs the one before.
let work = Promise.resolve();
readLines((message) => (work = work.then(() => obey(message)).catch((error) => console.error(error))), quit);
say("ready");
