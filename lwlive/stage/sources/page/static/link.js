// The link to the show: one WebSocket that mends itself. It knows no control by name.

const SILENT_MS = 4000; // the show says something every second; after so long the link is dead
const FOLLOW_MS = 16; // between two messages of a fader that moves
const DRIFT = 1e-3; // by how much two clocks may run apart at most
const PAUSES_MS = [250, 500, 1000, 2000, 3000];

export class Link {
  // news(message), picture(blob), changed(words, up): what to do with what comes
  constructor({ news, picture, changed }) {
    Object.assign(this, { news, picture, changed });
    this.failures = 0;
    this.ahead = Infinity; // least seconds from the show's clock to ours
    this.up = false;
    this.waiting = new Map(); // what is to be sent next, by address
    document.addEventListener("visibilitychange", () => this.look());
    addEventListener("online", () => this.open());
    setInterval(() => this.up && performance.now() - this.heardAt > SILENT_MS && this.lose(), 1000);
    this.open();
  }

  open() {
    if (this.socket) return;
    clearTimeout(this.timer);
    const url = new URL("ws", location.href);
    url.protocol = "ws:";
    const socket = (this.socket = new WebSocket(url));
    socket.binaryType = "blob";
    socket.onmessage = ({ data }) => socket === this.socket && this.heard(data);
    socket.onclose = () => socket === this.socket && this.lose();
    setTimeout(() => socket.readyState === WebSocket.CONNECTING && socket.close(), SILENT_MS);
  }

  heard(data) {
    this.heardAt = performance.now();
    if (typeof data !== "string") {
      this.say({ seen: 1 });
      this.picture(data);
      return;
    }
    const message = JSON.parse(data);
    if (message.full) {
      this.refusal = message.full;
      return;
    }
    if (message.t !== undefined) this.set(this.heardAt / 1000 - message.t, this.heardAt / 1000);
    if (!this.up) {
      this.up = true;
      this.failures = 0;
      this.changed("connected", true);
      this.look();
    }
    this.news(message);
  }

  // the least delay seen lately tells how far the clocks are apart; they drift
  set(ahead, now) {
    this.ahead = Math.min(this.ahead + DRIFT * (now - (this.setAt ?? now)), ahead);
    this.setAt = now;
  }

  // the show's clock, in seconds, as far as it is known here
  now() {
    return performance.now() / 1000 - this.ahead;
  }

  async lose() {
    const socket = this.socket;
    this.socket = null;
    this.up = false;
    this.ahead = Infinity;
    socket?.close();
    const pause = PAUSES_MS[Math.min(this.failures++, PAUSES_MS.length - 1)];
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.open(), this.refusal ? 3000 : pause);
    this.changed(this.refusal || "no connection, trying again", false);
    this.refusal = null;
    try {
      const found = await fetch("icon.svg", { cache: "no-store" });
      if (found.status === 403 && !this.up) this.changed("the address has changed: scan the code again", false);
    } catch {
      // the show, or the network, is away
    }
  }

  look() {
    this.say({ look: document.visibilityState === "visible" });
  }

  say(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  // ask for something now, with the moment at which the finger came down
  ask(words, event) {
    this.say({ do: words, at: (event?.timeStamp ?? performance.now()) / 1000 });
  }

  // ask for something that follows a finger: a little later, the newest only
  follow(words) {
    if (!this.waiting.size) {
      setTimeout(() => {
        for (const each of this.waiting.values()) this.ask(each);
        this.waiting.clear();
      }, FOLLOW_MS);
    }
    this.waiting.set(words.slice(0, -1).join(" "), words);
  }
}
