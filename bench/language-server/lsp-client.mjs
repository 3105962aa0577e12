// A client of a language server on stdio, with no more to it than the benchmark needs, so that both servers are met the same way.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Starts `command`; `settings` answers workspace/configuration by section. */
export function startClient(command, args, settings = {}) {
  const started = performance.now();
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'ignore'] });
  const exited = new Promise((resolve) => child.on('exit', resolve));
  const pending = new Map();
  const published = [];
  let onPublished = () => {};
  let nextId = 1;

  const send = (message) => {
    const body = Buffer.from(JSON.stringify({ jsonrpc: '2.0', ...message }));
    child.stdin.write(`Content-Length: ${body.length}\r\n\r\n`);
    child.stdin.write(body);
  };
  const receive = (message) => {
    if (message.method === undefined) {
      const { resolve, reject } = pending.get(message.id);
      pending.delete(message.id);
      if (message.error) reject(new Error(message.error.message));
      else resolve(message.result);
    } else if (message.method === 'textDocument/publishDiagnostics') {
      published.push({ at: performance.now(), ...message.params });
      onPublished();
    } else if (message.method === 'workspace/configuration')
      send({ id: message.id, result: message.params.items.map(({ section }) => settings[section] ?? null) });
    else if (message.id !== undefined) send({ id: message.id, result: null });
  };
  readMessages(child.stdout, receive);

  const request = (method, params) =>
    new Promise((resolve, reject) => {
      const id = nextId++;
      pending.set(id, { resolve, reject });
      send({ id, method, params });
    });
  const notify = (method, params) => send({ method, params });

  return {
    started,
    request,
    notify,
    initialize: async () => {
      await request('initialize', {
        processId: process.pid,
        rootUri: null,
        capabilities: {
          workspace: { configuration: true, didChangeConfiguration: { dynamicRegistration: true } },
          textDocument: { completion: { completionItem: { snippetSupport: true } }, publishDiagnostics: { versionSupport: true } },
        },
      });
      notify('initialized', {});
      notify('workspace/didChangeConfiguration', { settings });
    },
    open: (uri, languageId, text) => notify('textDocument/didOpen', { textDocument: { uri, languageId, version: 1, text } }),
    change: (uri, version, edit) => notify('textDocument/didChange', { textDocument: { uri, version }, contentChanges: [edit] }),
    /** How many publications there were; what comes behind that count is awaited with `diagnosticsAfter`. */
    publications: () => published.length,
    /** The first publication behind `count` that `fits`. */
    diagnosticsAfter: (count, fits, seconds = 120) =>
      new Promise((resolve, reject) => {
        const overdue = setTimeout(() => reject(new Error(`no fitting diagnostics within ${seconds} s`)), seconds * 1000);
        onPublished = () => {
          const found = published.slice(count).find(fits);
          if (found === undefined) return;
          clearTimeout(overdue);
          onPublished = () => {};
          resolve(found);
        };
        onPublished();
      }),
    /** Resident memory now and at its highest, in bytes; Linux only. */
    memory: () => {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
      const kilobytes = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)[1]) * 1024;
      return { resident: kilobytes('VmRSS'), highest: kilobytes('VmHWM') };
    },
    stop: async () => {
      await request('shutdown');
      notify('exit');
      const overdue = setTimeout(() => child.kill('SIGKILL'), 5000);
      await exited;
      clearTimeout(overdue);
    },
  };
}

function readMessages(stream, receive) {
  let chunks = [];
  let [held, wanted] = [0, 0];
  stream.on('data', (chunk) => {
    chunks.push(chunk);
    held += chunk.length;
    // Answers of tens of megabytes come in pieces of 64 kB, which are joined once.
    if (held < wanted) return;
    let kept = Buffer.concat(chunks);
    wanted = 0;
    for (;;) {
      const end = kept.indexOf('\r\n\r\n');
      if (end < 0) break;
      const length = Number(/Content-Length: (\d+)/i.exec(kept.subarray(0, end).toString())[1]);
      wanted = end + 4 + length;
      if (kept.length < wanted) break;
      receive(JSON.parse(kept.subarray(end + 4, wanted).toString()));
      kept = kept.subarray(wanted);
      wanted = 0;
    }
    chunks = [kept];
    held = kept.length;
  });
}
