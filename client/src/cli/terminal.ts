// Where a command writes: results on stdout, progress and problems on stderr. No colours; the progress bar is drawn on a terminal only.

export interface Terminal {
  /** A line of the result. */
  out(line: string): void;
  /** A line about the work. */
  err(line: string): void;
  json(value: unknown): void;
  progress(): Progress;
}

export interface Progress {
  /** `fraction` in [0, 1]; `etaSeconds` null until it can be said. */
  update(fraction: number, etaSeconds: number | null, message: string): void;
  /** A line that stays, above the bar. */
  note(line: string): void;
  /** Removes the bar. */
  end(): void;
}

/** `outputLost` is called once when the result cannot be written, as on a full disk. */
export function openTerminal(stdout: NodeJS.WriteStream, stderr: NodeJS.WriteStream, outputLost: () => void): Terminal {
  const writeErr = writerTo(stderr, () => undefined);
  const writeOut = writerTo(stdout, (error) => {
    writeErr(`The output cannot be written: ${error.message}.\n`);
    outputLost();
  });
  return {
    out: (line) => writeOut(`${printable(line)}\n`),
    err: (line) => writeErr(`${printable(line)}\n`),
    json: (value) => writeOut(`${JSON.stringify(value, null, 2)}\n`),
    progress: () => (stderr.isTTY ? progressBar(writeErr, () => stderr.columns || 80) : progressLines(writeErr)),
  };
}

type Write = (text: string) => void;

/** Writes until the stream fails, then nothing: a reader that has left (`… | head`) ends no run, and the exit code still tells how it went. */
function writerTo(stream: NodeJS.WriteStream, failed: (error: Error) => void): Write {
  let open = true;
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (open && error.code !== 'EPIPE') failed(error);
    open = false;
  });
  return (text) => {
    if (open) stream.write(text);
  };
}

/** Names and source lines come from files: control characters and changes of direction are shown as symbols and never obeyed by the terminal. */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x20 ? String.fromCharCode(0x2400 + code) : code === 0x7f ? '\u2421' : '\ufffd';
  });
}

const BAR_CELLS = 24;
const REDRAW_MILLISECONDS = 100;

function progressBar(write: Write, columns: () => number): Progress {
  let drawnAt = 0;
  const clear = '\r\x1b[2K';
  return {
    update: (fraction, etaSeconds, message) => {
      const now = Date.now();
      if (now - drawnAt < REDRAW_MILLISECONDS && fraction < 1) return;
      drawnAt = now;
      const filled = Math.round(fraction * BAR_CELLS);
      const bar = '█'.repeat(filled) + '░'.repeat(BAR_CELLS - filled);
      const parts = [`${bar} ${percent(fraction)}`, etaSeconds === null ? '' : `${remaining(etaSeconds)} left`, message];
      const line = parts.filter((part) => part !== '').join(' · ');
      write(clear + printable(line).slice(0, columns() - 1));
    },
    note: (line) => write(`${clear}${printable(line)}\n`),
    end: () => write(clear),
  };
}

/** In a pipe: a line at each new tenth, and none twice. */
function progressLines(write: Write): Progress {
  let lastTenth = -1;
  return {
    update: (fraction, etaSeconds, message) => {
      const tenth = Math.floor(fraction * 10 + 1e-9);
      // The very beginning says nothing yet.
      if (tenth <= lastTenth || (tenth === 0 && message === '')) return;
      lastTenth = tenth;
      const left = etaSeconds === null ? '' : ` (${remaining(etaSeconds)} left)`;
      write(printable(`${percent(fraction)}  ${message}${left}`.trimEnd()) + '\n');
    },
    note: (line) => write(`${printable(line)}\n`),
    end: () => undefined,
  };
}

const percent = (fraction: number): string => `${Math.floor(fraction * 100 + 1e-9)} %`.padStart(5);

/** An estimate has no fractions of a second. */
const remaining = (seconds: number): string => duration(Math.max(1, Math.ceil(seconds))).replace('.0 s', ' s');

/** Seconds for a reader: 0.42 s, 41 s, 3 min 05 s, 2 h 07 min. */
export function duration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(seconds < 1 ? 2 : 1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const two = (value: number): string => String(value).padStart(2, '0');
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
}
