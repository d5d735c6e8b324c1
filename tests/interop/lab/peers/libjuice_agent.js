// libjuice as a peer, inside libdatachannel (npm node-datachannel). Its raw datagrams cannot be reached, so this adapter
// shows the connection alone: the far side's fingerprint is made up, DTLS never finishes, and no test data flows.
// The side that offers controls. TURN over UDP only, as libjuice has it.
"use strict";

const { candidateValue, parseOptions, quit, readLines, say, sayEvent } = require("./lines.js");
const { PeerConnection } = require("node-datachannel");

const options = parseOptions();
const iceServers = [];
if (options.stun) iceServers.push({ hostname: options.stun.host, port: options.stun.port });
if (options.turn) {
  const login = { username: options.user, password: options.password, relayType: "TurnUdp" };
  iceServers.push({ hostname: options.turn.host, port: options.turn.port, ...login });
}

const connection = new PeerConnection("peer", {
  iceServers,
  iceTransportPolicy: options.relayOnly ? "relay" : "all",
  disableAutoNegotiation: true,
  disableFingerprintVerification: true,
});
let usable = false;
let connected = false;
const early = [];
let described = false;

const lineOf = (sdp, name) => sdp.split(/\r?\n/).find((line) => line.startsWith(`a=${name}:`))?.slice(name.length + 3);

// The far side has no DTLS; enough of an SDP to hand over its ICE credentials.
function remoteDescription(message) {
  return [
    "v=0",
    "o=- 1 0 IN IP4 127.0.0.1",
    "s=-",
    "t=0 0",
    "a=group:BUNDLE 0",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "c=IN IP4 0.0.0.0",
    "a=mid:0",
    `a=ice-ufrag:${message.ufrag}`,
    `a=ice-pwd:${message.pwd}`,
    "a=ice-options:ice2,trickle",
    `a=fingerprint:sha-256 ${Array(32).fill("AB").join(":")}`,
    "a=setup:active",
    "a=sctp-port:5000",
    "a=max-message-size:262144",
    "",
  ].join("\r\n");
}

function start() {
  connection.onLocalDescription((sdp) => say("local", { ufrag: lineOf(sdp, "ice-ufrag"), pwd: lineOf(sdp, "ice-pwd") }));
  connection.onLocalCandidate((line) => say("candidate", { candidate: line.replace(/^a=/, "") }));
  connection.onGatheringStateChange((state) => {
    if (state !== "complete") return;
    say("end");
    sayEvent("gathered");
  });
  connection.onIceStateChange((state) => {
    if ((state === "connected" || state === "completed") && !usable) {
      usable = true;
      sayEvent("first_valid");
    }
    if (state === "completed" && !connected) {
      connected = true;
      sayEvent("connected");
      const pair = connection.getSelectedCandidatePair();
      if (pair) say("pair", { local: pair.local.type, remote: pair.remote.type });
    }
    if (state === "failed" || state === "disconnected") sayEvent(usable ? "lost" : "failed", { why: state });
  });
  if (options.iceControlling) {
    connection.createDataChannel("peer");
    connection.setLocalDescription("offer");
  }
}

function remote(message) {
  connection.setRemoteDescription(remoteDescription(message), options.iceControlling ? "answer" : "offer");
  if (!options.iceControlling) connection.setLocalDescription("answer");
  described = true;
  for (const line of early.splice(0)) connection.addRemoteCandidate(line, "0");
}

function obey(message) {
  switch (message.type) {
    case "start":
      start();
      break;
    case "remote":
      remote(message);
      break;
    case "candidate": {
      const line = `candidate:${candidateValue(message)}`;
      if (described) connection.addRemoteCandidate(line, "0");
      else early.push(line);
      break;
    }
    case "end":
      break;
    default:
      say("error", { why: `unsupported: ${message.type}` });
  }
}

readLines(obey, quit);
say("ready");
