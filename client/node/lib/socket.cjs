'use strict';
// The way to the agent's socket: where it is, and whether it is safe.

const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const errors = require('./errors.cjs');

// The longest path that fits into a socket address on Linux.
const maxPath = 107;

/** The socket's absolute path: the one named, NSAGENT_SOCK, or the default. */
// It throws where the environment names an unlock token: this package cannot show one, and
// without it would ask by the right of the user, which is wider.
function find(named, env) {
  for (const name of ['NSAGENT_TOKEN', 'NSAGENT_TOKEN_FILE', 'NSAGENT_TOKEN_FD']) {
    if (env[name] !== undefined) {
      throw errors.make('NSA-GRANT', 'this package cannot show an unlock token', `${name} is set`, 'let nsagent show it:  nsagent exec -- node job.mjs');
    }
  }
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

/**
 * Throws unless the path is a socket of one of uids, in a directory where nobody else
 * can put another one. Returns what tells the socket from any other, for same.
 *
 * Node.js has no call for the user at the other end of a connection (SO_PEERCRED). A
 * socket belongs to who has bound it, and only root can change that; so its owner
 * stands for the user of the server, as long as it is the same socket all the time.
 */
function check(at, uids) {
  let socket, directory;
  try {
    socket = fs.lstatSync(at, { bigint: true });
    directory = fs.statSync(path.dirname(at));
  } catch (e) {
    throw errors.unreachable(e.code === 'ENOENT' || e.code === 'ENOTDIR' ? 'there is no socket at ' + at : e.message);
  }
  if (socket.isSymbolicLink()) throw errors.untrusted(`${at} is a symbolic link`);
  if (!socket.isSocket()) throw errors.untrusted(`${at} is not a socket`);
  if (!uids.includes(Number(socket.uid))) throw errors.untrusted(`the socket ${at} belongs to uid ${socket.uid}`);
  if (directory.uid !== 0 && !uids.includes(directory.uid)) {
    throw errors.untrusted(`the directory of ${at} belongs to uid ${directory.uid}`);
  }
  if (directory.mode & 0o022 && !(directory.mode & 0o1000)) {
    throw errors.untrusted(`others may write the directory of ${at}`);
  }
  return [socket.dev, socket.ino, socket.birthtimeNs].join(' ');
}

/**
 * Returns a connection to the socket that is being made; an untrusted path throws. The
 * path is checked again once it stands, before anything that was written to it leaves:
 * in between another user could have taken the place of a server that has ended.
 */
function connect(at, uids) {
  const before = check(at, uids);
  const connection = net.connect(at);
  // Writes wait for the same event, and so behind this.
  connection.once('connect', () => {
    try {
      if (check(at, uids) !== before) throw errors.unreachable(`the socket ${at} changed while it was connected to`);
    } catch (e) {
      connection.destroy(e);
    }
  });
  return connection;
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

module.exports = { find, connect, trusted };
