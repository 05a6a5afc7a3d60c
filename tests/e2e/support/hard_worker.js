// What tests/support/programs/hard_worker.cc does, with node: a heap, a garbage collector and threads of its own. The
// same paths, but /leak ends at node's own bound of its heap, and /flood does not say how long it took.
// Usage: node hard_worker.js PORT [WORD...]
'use strict';
const http = require('http');
const { spawn } = require('child_process');

const [port, ...words] = process.argv.slice(2);
let isHanging = false;

function beStubborn() {
  process.on('SIGTERM', () => {});
}

function child(options) {
  const script = 'trap "" TERM; sleep 300 & while sleep 1; do :; done';
  spawn('/bin/sh', ['-c', script], { stdio: 'ignore', ...options });
}

function leak() {
  const held = [];
  const more = () => {
    for (let i = 0; i < 64; i++) held.push(new Array(16384).fill(i));
    setImmediate(more);
  };
  more();
}

function flood(megabytes, done) {
  const block = ('x'.repeat(99) + '\n').repeat(655);
  let left = megabytes << 20;
  const more = () => {
    while (left > 0) {
      left -= block.length;
      if (!process.stdout.write(block)) return process.stdout.once('drain', more);
    }
    done();
  };
  more();
}

const server = http.createServer((request, response) => {
  if (isHanging) return;
  const [, verb, number] = request.url.split('/');
  const answer = (text) => response.end(text);
  switch (verb) {
    case 'health': return answer('well');
    case 'wait': return setTimeout(() => answer(String(process.pid)), Number(number));
    case 'spin': for (const end = Date.now() + Number(number); Date.now() < end;); break;
    case 'exit': return process.exit(Number(number));
    case 'abort': return process.abort();
    case 'leak': leak(); break;
    case 'hang': isHanging = true; return undefined;
    case 'fork': for (let i = 0; i < Number(number); i++) child({}); break;
    case 'flee': child({ detached: true }); break;
    case 'stubborn': beStubborn(); break;
    case 'flood': return flood(Number(number), () => answer('done'));
    default: break;
  }
  return answer(String(process.pid));
});

for (const word of words) {
  if (word === 'crash') process.abort();
  if (word.startsWith('exit=')) process.exit(Number(word.slice(5)));
  if (word === 'stubborn') beStubborn();
}
server.listen(Number(port), '127.0.0.1', () => console.log(`worker ${process.pid} on port ${port}`));
