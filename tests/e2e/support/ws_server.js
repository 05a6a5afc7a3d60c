// A WebSocket server by npm's ws. Says each message back, in `pieces` fragments if the path has ?pieces=N.
// Texts that it obeys instead: {"close": [code, reason]}, {"ping": payload} (said back is the pong's), {"terminate": true}.
// A plain request is answered with how each connection ended: [[code, reason], ...].
// Usage: node ws_server.js PORT [CERTIFICATE KEY]
'use strict';
const fs = require('fs');
const { WebSocketServer } = require('ws');

const [port, cert, key] = process.argv.slice(2);
const ended = [];

function answer(request, response) {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(ended));
}

function say(socket, data, binary, pieces) {
  const size = Math.ceil(data.length / pieces);
  for (let i = 1; i < pieces; i++) socket.send(data.subarray((i - 1) * size, i * size), { binary, fin: false });
  socket.send(data.subarray((pieces - 1) * size), { binary, fin: true });
}

function obey(socket, order) {
  if (order.close) socket.close(...order.close);
  if (order.ping) {
    socket.once('pong', (data) => socket.send(`pong ${data}`));
    socket.ping(order.ping);
  }
  if (order.terminate) socket.terminate();
}

const server = cert
  ? require('https').createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }, answer)
  : require('http').createServer(answer);

new WebSocketServer({ server }).on('connection', (socket, request) => {
  const pieces = Number(new URL(request.url, 'http://any').searchParams.get('pieces') ?? 1);
  socket.on('error', () => {});  // the end says it
  socket.on('close', (code, reason) => ended.push([code, reason.toString()]));
  socket.on('message', (data, binary) => {
    if (!binary && data[0] === 0x7b) obey(socket, JSON.parse(data));
    else say(socket, data, binary, pieces);
  });
});
server.listen(Number(port), '127.0.0.1');
