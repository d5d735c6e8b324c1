// werift's ICE as a peer: its Connection class alone, without DTLS. It trickles its candidates, but once its checks have
// run out it never looks at a candidate that comes later, so it starts checking only when both sides have gathered. It
// says nothing of a valid pair before the nominated one: first_valid comes with connected. One TURN server: the first
// transport given.
"use strict";

const path = require("path");
const { PingPong, candidateValue, parseOptions, quit, readLines, say, sayEvent } = require("./lines.js");
// The package exports its WebRTC surface only; its ICE lies beside it.
const { Candidate, Connection } = require(path.join(path.dirname(require.resolve("werift")), "../../ice/src/index.js"));

const options = parseOptions();
const relay = options.turn ?? options.turnTcp ?? options.turnTls;
const address = (endpoint) => (endpoint ? [endpoint.host, endpoint.port] : undefined);
const connection = new Connection(options.iceControlling, {
  stunServer: address(options.stun),
  turnServer: address(relay),
  turnUsername: options.user,
  turnPassword: options.password,
  turnTransport: options.turn ? "udp" : options.turnTcp ? "tcp" : "tls",
  forceTurn: options.relayOnly,
  useTcp: false,
  useIpv4: true,
  useIpv6: true,
});
let connected = false;
const application = new PingPong(options, (payload) => {
  if (connected) connection.send(payload).catch(() => undefined);
});
let remoteGathered;
const remoteEnd = new Promise((resolve) => (remoteGathered = resolve));

async function connect() {
  say("local", { ufrag: connection.localUsername, pwd: connection.localPassword });
  connection.onIceCandidate.subscribe((candidate) => say("candidate", { candidate: `candidate:${candidate.toSdp()}` }));
  connection.onData.subscribe((payload) => application.received(payload));
  await connection.gatherCandidates();
  say("end");
  sayEvent("gathered");
  await remoteEnd;
  try {
    await connection.connect();
  } catch (error) {
    sayEvent("failed", { why: String(error) });
    return;
  }
  connected = true;
  sayEvent("first_valid");
  sayEvent("connected");
  const pair = connection.nominated;
  say("pair", { local: pair?.localCandidate.type ?? "?", remote: pair?.remoteCandidate.type ?? "?" });
  application.begin();
  connection.stateChanged.subscribe((state) => {
    if (state === "disconnected" || state === "failed" || state === "closed") sayEvent("lost", { why: state });
  });
}

function obey(message) {
  switch (message.type) {
    case "start":
      connect();
      break;
    case "remote":
      connection.setRemoteParams({ iceLite: false, usernameFragment: message.ufrag, password: message.pwd });
      break;
    case "candidate":
      connection.addRemoteCandidate(Candidate.fromSdp(candidateValue(message))).catch((error) => console.error(error));
      break;
    case "end":
      connection.addRemoteCandidate(undefined).then(remoteGathered, (error) => console.error(error));
      break;
    case "send":
      connection.send(Buffer.from(message.data, "base64")).catch(() => undefined);
      break;
    default:
      say("error", { why: `unsupported: ${message.type}` });
  }
}

process.on("unhandledRejection", (error) => console.error("unhandled", error));
readLines(obey, quit);
say("ready");
