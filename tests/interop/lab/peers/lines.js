// What every peer adapter under Node shares: the command line, the JSON lines, the ping-pong of test data.
// The protocol is described in lines.py; only Node's own modules are used here.
"use strict";

const PING_INTERVAL_MS = 300;

// Node's hrtime and Python's time.monotonic() read the same clock (CLOCK_MONOTONIC).
const monotonic = () => Number(process.hrtime.bigint()) / 1e9;
const say = (type, fields = {}) => process.stdout.write(JSON.stringify({ type, ...fields }) + "\n");
const sayEvent = (event, fields = {}) => say("event", { event, t: monotonic(), ...fields });
const cpuSeconds = () => {
  const usage = process.cpuUsage();
  return (usage.user + usage.system) / 1e6;
};

function parseEndpoint(text) {
  const at = text.lastIndexOf(":");
  return { host: text.slice(0, at).replace(/^\[|\]$/g, ""), port: Number(text.slice(at + 1)) };
}

function parseOptions(argv = process.argv.slice(2)) {
  const options = { messages: 0, user: "", password: "", relayOnly: false };
  const endpoints = { "--stun": "stun", "--turn": "turn", "--turn-tcp": "turnTcp", "--turn-tls": "turnTls" };
  for (let i = 0; i < argv.length; i++) {
    const name = argv[i];
    if (name === "--relay-only") options.relayOnly = true;
    else if (name === "--insecure") continue;
    else if (name in endpoints) options[endpoints[name]] = parseEndpoint(argv[++i]);
    else if (name === "--role") options.role = argv[++i];
    else if (name === "--ice-role") options.iceRole = argv[++i];
    else if (name === "--user") options.user = argv[++i];
    else if (name === "--pass") options.password = argv[++i];
    else if (name === "--messages") options.messages = Number(argv[++i]);
    else throw new Error(`unknown option ${name}`);
  }
  options.controlling = options.role === "controlling";
  options.iceControlling = (options.iceRole ?? options.role) === "controlling";
  return options;
}

// Calls obey(message) for each line; end() when standard input ends or says quit.
function readLines(obey, end) {
  let rest = "";
  process.stdin.setEncoding("utf8");
  process.stdin.on("data", (chunk) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const message = JSON.parse(line);
      if (message.type === "quit") end();
      else obey(message);
    }
  });
  process.stdin.on("end", end);
}

function quit() {
  process.stdout.write(JSON.stringify({ type: "done", cpu: cpuSeconds() }) + "\n", () => process.exit(0));
}

const candidateValue = (message) => message.candidate.replace(/^a=/, "").replace(/^candidate:/, "");

// The controlling side pings until echoed, the controlled one echoes.
class PingPong {
  constructor(options, send) {
    Object.assign(this, { controlling: options.controlling, messages: options.messages, send });
    Object.assign(this, { index: 0, sent: 0, sentAt: 0, begun: false, heard: false, rtts: [] });
  }

  get pinging() {
    return this.begun && this.controlling && this.index < this.messages;
  }

  begin() {
    if (this.begun) return;
    this.begun = true;
    this.ping(true);
    setInterval(() => this.ping(false), PING_INTERVAL_MS);
  }

  received(payload) {
    if (!this.heard) {
      this.heard = true;
      sayEvent("first_data");
    }
    const text = payload.toString("latin1");
    if (!text.startsWith("ping ")) say("received", { data: payload.toString("base64") });
    if (!this.controlling) this.send(payload);
    else if (this.pinging && text === `ping ${this.index}`) this.echoed();
  }

  ping(first) {
    if (!this.pinging) return;
    if (first) this.sentAt = monotonic();
    this.sent++;
    this.send(Buffer.from(`ping ${this.index}`));
  }

  echoed() {
    this.rtts.push(monotonic() - this.sentAt);
    if (this.index === 0) sayEvent("first_echo");
    this.index++;
    if (this.index === this.messages) say("data", { rtts: this.rtts, sent: this.sent });
    else this.ping(true);
  }
}

module.exports = { PingPong, candidateValue, parseOptions, quit, readLines, say, sayEvent };
