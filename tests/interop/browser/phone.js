// A phone in a web page: JsSIP or SIP.js, as the page's address asks, steered and watched by the test.
// It registers, answers whoever calls, and calls whom /call names, hanging up when that is answered; what
// happens is posted to /event.
import * as JsSIP from "jssip";
import {Inviter, Registerer, RegistererState, SessionState, UserAgent} from "sip.js";

const asked = new URLSearchParams(location.search);
const aor = asked.get("aor");
// The user name for the password, where there is one.
const name = asked.get("name");
let hangup = false;

let order = Promise.resolve();
const tell = (what, detail = "") => {
  // One after the other, so that they arrive in order.
  order = order.then(() => fetch("/event", {method: "POST", body: JSON.stringify([what, `${detail}`])}));
};

// The test answers when it wants a call.
const whom = async () => {
  const uri = await (await fetch("/call")).text();
  hangup = true;
  return uri;
};

window.onerror = (message) => tell("error", message);
window.onunhandledrejection = (event) => tell("error", event.reason);

function jssip() {
  const socket = new JsSIP.WebSocketInterface(asked.get("server"));
  const phone = new JsSIP.UA({
    sockets: [socket], uri: aor, register: true, session_timers: false,
    authorization_user: name, password: asked.get("password"),
  });
  phone.on("registered", async () => {
    tell("registered");
    phone.call(await whom(), {mediaConstraints: {audio: true, video: false}});
  });
  phone.on("registrationFailed", (event) => tell("refused", event.cause));
  phone.on("disconnected", (event) => tell("disconnected", `${event.code} ${event.reason}`));
  phone.on("newRTCSession", ({session}) => {
    session.on("progress", (event) => event.originator === "remote" && tell("progress"));
    session.on("confirmed", () => {
      tell("confirmed");
      if (hangup) session.terminate();
    });
    session.on("ended", (event) => tell("ended", event.originator));
    session.on("failed", (event) => tell("failed", event.cause));
    session.on("peerconnection:setremotedescriptionfailed", (error) => tell("error", error));
    if (session.direction === "incoming") session.answer({mediaConstraints: {audio: true, video: false}});
  });
  phone.start();
}

async function sipjs() {
  const media = {constraints: {audio: true, video: false}, iceGatheringTimeout: 500};
  const watch = (session) => {
    session.stateChange.addListener((state) => {
      if (state === SessionState.Established) {
        tell("confirmed");
        if (hangup) session.bye();
      } else if (state === SessionState.Terminated) tell("ended");
    });
  };
  const phone = new UserAgent({
    uri: UserAgent.makeURI(aor),
    authorizationUsername: name ?? undefined,
    authorizationPassword: asked.get("password") ?? undefined,
    transportOptions: {server: asked.get("server")},
    sessionDescriptionHandlerFactoryOptions: media,
    logBuiltinEnabled: false,
    delegate: {
      onInvite: (invitation) => {
        watch(invitation);
        invitation.accept({sessionDescriptionHandlerOptions: media});
      },
      onDisconnect: (error) => tell("disconnected", error),
    },
  });
  await phone.start();
  const registerer = new Registerer(phone);
  registerer.stateChange.addListener(async (state) => {
    if (state !== RegistererState.Registered) return;
    tell("registered");
    const inviter = new Inviter(phone, UserAgent.makeURI(await whom()), {sessionDescriptionHandlerOptions: media});
    watch(inviter);
    await inviter.invite({
      requestDelegate: {onProgress: () => tell("progress"), onReject: (r) => tell("failed", r.message.statusCode)},
    });
  });
  await registerer.register({requestDelegate: {onReject: (r) => tell("refused", r.message.statusCode)}});
}

// One device on two flows (RFC 5626): the same instance, reg-id 1 and 2. It tells which of them rings.
async function flows() {
  const media = {constraints: {audio: true, video: false}, iceGatheringTimeout: 500};
  for (const regId of [1, 2]) {
    const phone = new UserAgent({
      uri: UserAgent.makeURI(aor),
      transportOptions: {server: asked.get(regId === 1 ? "server" : "second")},
      sessionDescriptionHandlerFactoryOptions: media,
      logBuiltinEnabled: false,
      delegate: {
        onInvite: (invitation) => {
          tell("rings", regId);
          invitation.stateChange.addListener((state) => {
            if (state === SessionState.Established) tell("confirmed", regId);
            else if (state === SessionState.Terminated) tell("ended", regId);
          });
          invitation.accept({sessionDescriptionHandlerOptions: media});
        },
        onDisconnect: () => tell("lost", regId),
      },
    });
    await phone.start();
    const registerer = new Registerer(phone, {instanceId: "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", regId});
    await new Promise((done) => {
      registerer.register({
        requestDelegate: {
          onAccept: ({message}) => {
            tell("registered", `${regId} ${message.getHeader("Require")}`);
            done();
          },
          onReject: (r) => tell("refused", r.message.statusCode),
        },
      });
    });
  }
}

// JsSIP with sound: it tells how many packets of the other side came, once there are fifty.
function sound() {
  const socket = new JsSIP.WebSocketInterface(asked.get("server"));
  const phone = new JsSIP.UA({sockets: [socket], uri: aor, register: true, session_timers: false});
  const media = {mediaConstraints: {audio: true, video: false}, pcConfig: {iceServers: []}};
  const listen = async (connection) => {
    for (;;) {
      let packets = 0;
      (await connection.getStats()).forEach((one) => {
        if (one.type === "inbound-rtp") packets += one.packetsReceived;
      });
      if (packets >= 50) return tell("heard", packets);
      await new Promise((done) => setTimeout(done, 100));
    }
  };
  phone.on("registered", async () => {
    tell("registered");
    const uri = await whom();
    if (uri) phone.call(uri, media);
  });
  phone.on("newRTCSession", ({session}) => {
    session.on("confirmed", () => {
      tell("confirmed");
      listen(session.connection);
    });
    session.on("ended", (event) => tell("ended", event.originator));
    session.on("failed", (event) => tell("failed", `${event.cause} ${event.message?.data ?? ""}`));
    session.on("peerconnection:setremotedescriptionfailed", (error) => tell("error", error));
    if (session.direction === "incoming") session.answer(media);
  });
  phone.start();
}

// JsSIP for texts (RFC 3428): it shows what comes, and sends "URI text", which /call names.
function texts() {
  const socket = new JsSIP.WebSocketInterface(asked.get("server"));
  const phone = new JsSIP.UA({sockets: [socket], uri: aor, register: true, session_timers: false});
  phone.on("newMessage", ({originator, message, request}) => {
    if (originator === "remote") tell("message", `${request.from.uri} ${request.body}`);
    else message.on("succeeded", ({response}) => tell("sent", response.status_code));
    message.on("failed", ({cause, response}) => tell("unsent", response?.status_code ?? cause));
  });
  phone.on("registered", async () => {
    tell("registered");
    for (let line = await whom(); line; line = await whom()) {
      const [uri, ...words] = line.split(" ");
      phone.sendMessage(uri, words.join(" "));
    }
  });
  phone.on("registrationFailed", (event) => tell("refused", event.cause));
  phone.start();
}

// MSRP over a WebSocket (RFC 7977), with a URI of the relay (RFC 4976): written for this test alone.
function msrp() {
  const socket = new WebSocket(asked.get("server"), "msrp");
  socket.binaryType = "arraybuffer";
  const relay = `msrps://${asked.get("relay")};tcp`;
  const own = `msrps://${name}.invalid:9/${name}session;ws`;
  const md5 = JsSIP.Utils.calculateMD5;
  let number = 1000;
  let path = "";
  const send = (method, to, fields, body) => {
    const id = `web${number++}`;
    const text = body === undefined ? "" : `\r\n${body}\r\n`;
    const lines = [`MSRP ${id} ${method}`, `To-Path: ${to}`, `From-Path: ${own}`, ...fields];
    socket.send(new TextEncoder().encode(`${lines.join("\r\n")}\r\n${text}-------${id}$\r\n`));
  };
  const prove = (challenge) => {
    const said = Object.fromEntries([...challenge.matchAll(/(\w+)="?([^",]+)"?/g)].map((one) => one.slice(1, 3)));
    const secret = md5(`${name}:${said.realm}:${asked.get("password")}`);
    const proof = md5(`${secret}:${said.nonce}:00000001:abcdef:auth:${md5(`AUTH:${relay}`)}`);
    return `Authorization: Digest username="${name}", realm="${said.realm}", nonce="${said.nonce}", ` +
      `qop=auth, nc=00000001, cnonce="abcdef", response="${proof}"`;
  };
  socket.onopen = () => send("AUTH", relay, []);
  socket.onclose = (event) => tell("closed", event.reason);
  socket.onmessage = async ({data}) => {
    const text = typeof data === "string" ? data : new TextDecoder().decode(data);
    const [head, ...rest] = text.split("\r\n\r\n");
    const [start, ...lines] = head.split("\r\n");
    const [, id, word] = start.split(" ");
    const fields = Object.fromEntries(lines.map((one) => [one.split(": ")[0], one.slice(one.indexOf(": ") + 2)]));
    if (word === "401") send("AUTH", relay, [prove(fields["WWW-Authenticate"])]);
    else if (word === "200" && fields["Use-Path"]) {
      path = fields["Use-Path"];
      tell("ready", `${path} ${own}`);
      const [to, ...words] = (await whom()).split("|");
      const body = words.join("|");
      const size = new TextEncoder().encode(body).length;
      send("SEND", `${path} ${to}`, [
        "Message-ID: web1", `Byte-Range: 1-${size}/${size}`, "Content-Type: text/plain",
      ], body);
    } else if (word === "200") tell("sent");
    else if (word === "SEND") {
      const back = fields["From-Path"].split(" ")[0];
      const lines = [`MSRP ${id} 200 OK`, `To-Path: ${back}`, `From-Path: ${own}`];
      socket.send(new TextEncoder().encode(`${lines.join("\r\n")}\r\n-------${id}$\r\n`));
      tell("message", rest.join("\r\n\r\n").split(`\r\n-------${id}`)[0]);
    } else tell("other", word);
  };
}

({flows, jssip, msrp, sipjs, sound, texts})[asked.get("library")]();
