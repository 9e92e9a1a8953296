'use strict';
// The way to the agent's socket: where it is, and whether it is safe.

const fs = require('node:fs');
const path = require('node:path');
const errors = require('./errors.cjs');

// The longest path that fits into a socket address on Linux.
const maxPath = 107;

/** The socket's absolute path: the one named, NSAGENT_SOCK, or the default. */
function find(named, env) {
  let at;
  const absolute = (name) => path.isAbsolute(env[name] ?? '');
  if (named) {
    at = path.resolve(named);
  } else if (env.NSAGENT_SOCK) {
    if (!absolute('NSAGENT_SOCK')) {
      throw errors.make('NSA-SOCKET', "the agent's socket cannot be found", 'NSAGENT_SOCK is not an absolute path');
    }
    at = path.normalize(env.NSAGENT_SOCK);
  } else if (absolute('XDG_RUNTIME_DIR')) {
    at = path.join(env.XDG_RUNTIME_DIR, 'nsagent/agent.sock');
  } else if (absolute('XDG_STATE_HOME')) {
    at = path.join(env.XDG_STATE_HOME, 'nsagent/run/agent.sock');
  } else if (absolute('HOME')) {
    at = path.join(env.HOME, '.local/state/nsagent/run/agent.sock');
  } else {
    throw errors.make('NSA-USAGE', "the agent's socket cannot be found", 'neither NSAGENT_SOCK nor HOME is set');
  }
  if (Buffer.byteLength(at) > maxPath) {
    throw errors.make('NSA-SOCKET', 'the socket path is too long', `the system takes ${maxPath} bytes`);
  }
  return at;
}

/** Throws unless the path is a socket of one of uids, safe from others. */
function check(at, uids) {
  let socket, directory;
  try {
    socket = fs.lstatSync(at);
    directory = fs.statSync(path.dirname(at));
  } catch (e) {
    throw errors.unreachable(e.code === 'ENOENT' || e.code === 'ENOTDIR' ? 'there is no socket at ' + at : e.message);
  }
  if (socket.isSymbolicLink()) throw errors.untrusted(`${at} is a symbolic link`);
  if (!socket.isSocket()) throw errors.untrusted(`${at} is not a socket`);
  if (!uids.includes(socket.uid)) throw errors.untrusted(`the socket ${at} belongs to uid ${socket.uid}`);
  if (directory.mode & 0o002 && !(directory.mode & 0o1000)) {
    throw errors.untrusted(`everybody may write the directory of ${at}`);
  }
}

/** The users whose sockets are trusted. */
function trusted(env, more) {
  const uids = [process.geteuid(), ...more];
  if (env.NSAGENT_SOCK_UID) {
    if (!/^[0-9]{1,10}$/.test(env.NSAGENT_SOCK_UID)) throw errors.make('NSA-USAGE', 'NSAGENT_SOCK_UID is not a user ID');
    uids.push(Number(env.NSAGENT_SOCK_UID));
  }
  return uids;
}

module.exports = { find, check, trusted };
