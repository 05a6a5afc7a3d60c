// WebSocket clients by npm's ws, for a server as ws_server.js. Ends with status 0 if everything was as it has to be.
// Usage: node ws_client.js WHAT URL [AUTHORITY]
'use strict';
const assert = require('assert');
const crypto = require('crypto');
const fs = require('fs');
const { once } = require('events');
const WebSocket = require('ws');

const [what, url, authority] = process.argv.slice(2);
const ca = authority && fs.readFileSync(authority);
const MIB = 1024 * 1024;

async function open(path = '/') {
  const socket = new WebSocket(url + path, { ca });
  await once(socket, 'open');
  return socket;
}

// The next message. Errors of the connection come as exceptions.
async function message(socket) {
  const [data, binary] = await once(socket, 'message');
  return { data, binary };
}

async function ended(socket) {
  const [code, reason] = await once(socket, 'close');
  return [code, reason.toString()];
}

async function saidBack(socket, sent) {
  const { data, binary } = await message(socket);
  assert.strictEqual(binary, typeof sent !== 'string');
  assert.ok(data.equals(Buffer.from(sent)), `${data.length} other bytes for ${sent.length}`);
}

const scenarios = {
  // Messages in pieces both ways, with a ping between the pieces.
  async fragments() {
    const socket = await open('/?pieces=7');
    const parts = Array.from({ length: 20 }, (_, i) => crypto.randomBytes(i * 997));
    for (const [i, part] of parts.entries()) {
      socket.send(part, { binary: true, fin: i === parts.length - 1 });
      if (i === 10) {
        const pong = once(socket, 'pong');
        socket.ping('between');
        assert.strictEqual((await pong)[0].toString(), 'between');
      }
    }
    await saidBack(socket, Buffer.concat(parts));
    socket.send('');
    await saidBack(socket, '');
    socket.close();
    assert.deepStrictEqual(await ended(socket), [1005, '']);
  },

  async large() {
    const socket = await open('/?pieces=3');
    for (const size of [16 * MIB, 65535, 65536, 16 * MIB]) {
      const sent = crypto.randomBytes(size);
      socket.send(sent);
      await saidBack(socket, sent);
    }
    socket.close();
    await ended(socket);
  },

  async pings() {
    const socket = await open();
    for (let i = 0; i < 50; i++) {
      const pong = once(socket, 'pong');
      socket.ping(`mine ${i}`);
      assert.strictEqual((await pong)[0].toString(), `mine ${i}`);
      const pinged = once(socket, 'ping');
      const answer = message(socket);
      socket.send(JSON.stringify({ ping: `yours ${i}` }));
      assert.strictEqual((await pinged)[0].toString(), `yours ${i}`);
      assert.strictEqual((await answer).data.toString(), `pong yours ${i}`);
    }
    socket.close();
    await ended(socket);
  },

  // What the server has seen of the first ones is for the caller to ask.
  async closes() {
    for (const [code, reason] of [[1000, 'done'], [4001, 'a reason of mine'], [4999, 'x'.repeat(123)]]) {
      const socket = await open();
      socket.close(code, reason);
      assert.deepStrictEqual(await ended(socket), [code, reason]);
    }
    const cut = await open();
    cut.terminate();
    await ended(cut);
    for (const [code, reason] of [[1001, 'going'], [1011, ''], [4002, 'a reason of the server']]) {
      const socket = await open();
      socket.send(JSON.stringify({ close: [code, reason] }));
      assert.deepStrictEqual(await ended(socket), [code, reason]);
    }
    const socket = await open();
    socket.send(JSON.stringify({ terminate: true }));
    assert.deepStrictEqual(await ended(socket), [1006, '']);
  },

  // 100 connections talk, and talk again when a line has come in at standard input.
  async many() {
    const sockets = await Promise.all(Array.from({ length: 100 }, () => open()));
    const talk = (word) => Promise.all(sockets.map((socket, i) => {
      const answer = saidBack(socket, `${word} ${i}`);
      socket.send(`${word} ${i}`);
      return answer;
    }));
    await talk('first');
    console.log('all have talked');
    await once(process.stdin, 'data');
    process.stdin.pause();
    await talk('again');
    const ends = Promise.all(sockets.map(ended));
    sockets.forEach((socket, i) => socket.close(4000 + i));
    assert.deepStrictEqual(await ends, sockets.map((_, i) => [4000 + i, '']));
  },
};

scenarios[what]().catch((error) => {
  console.error(error);
  process.exit(1);
});
