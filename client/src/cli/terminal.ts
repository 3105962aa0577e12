// Where a command writes: results on stdout, progress and problems on stderr, colours only on a terminal.

export interface Terminal {
  /** A line of the result. */
  out(line: string): void;
  /** A line about the work. */
  err(line: string): void;
  json(value: unknown): void;
  progress(): Progress;
  readonly outIsTerminal: boolean;
}

export interface Progress {
  /** `fraction` in [0, 1]; `etaSeconds` null until it can be said. */
  update(fraction: number, etaSeconds: number | null, message: string): void;
  /** A line that stays, above the bar. */
  note(line: string): void;
  /** Removes the bar. */
  end(): void;
}

export function openTerminal(stdout: NodeJS.WriteStream, stderr: NodeJS.WriteStream): Terminal {
  for (const stream of [stdout, stderr])
    stream.on('error', (error: NodeJS.ErrnoException) => {
      // The reader of the pipe has left (`… | head`): nobody waits for the rest.
      if (error.code === 'EPIPE') process.exit(0);
      throw error;
    });
  return {
    out: (line) => void stdout.write(`${line}\n`),
    err: (line) => void stderr.write(`${line}\n`),
    json: (value) => void stdout.write(`${JSON.stringify(value, null, 2)}\n`),
    progress: () => (stderr.isTTY ? progressBar(stderr) : progressLines(stderr)),
    outIsTerminal: stdout.isTTY,
  };
}

const BAR_CELLS = 24;
const REDRAW_MILLISECONDS = 100;

function progressBar(stream: NodeJS.WriteStream): Progress {
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
      stream.write(clear + line.slice(0, (stream.columns || 80) - 1));
    },
    note: (line) => void stream.write(`${clear}${line}\n`),
    end: () => void stream.write(clear),
  };
}

/** In a pipe: a line at each new tenth, and none twice. */
function progressLines(stream: NodeJS.WriteStream): Progress {
  let lastTenth = -1;
  return {
    update: (fraction, etaSeconds, message) => {
      const tenth = Math.floor(fraction * 10 + 1e-9);
      // The very beginning says nothing yet.
      if (tenth <= lastTenth || (tenth === 0 && message === '')) return;
      lastTenth = tenth;
      const left = etaSeconds === null ? '' : ` (${remaining(etaSeconds)} left)`;
      stream.write(`${percent(fraction)}  ${message}${left}`.trimEnd() + '\n');
    },
    note: (line) => void stream.write(`${line}\n`),
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
