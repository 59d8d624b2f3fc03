/**
 * The streams and signals of a process, as an interface, so that tests can run commands in their
 * own process.
 *
 * @module
 */

import { printable, printableLines } from "../printable.ts";
import type { RestartFrom } from "../train/restart.ts";
import { LineInput } from "./line_input.ts";

/** What a command talks to: a process's streams, or a test's. */
export interface Terminal {
  /**
   * Writes results. Control characters but line feeds and tabulators are shown escaped.
   *
   * @param marked Whether to set the text off: in green on a terminal, else in brackets ⟦ ⟧.
   */
  stdout(text: string, marked?: boolean): void;
  /** Writes progress, warnings and errors. Control characters but line feeds and tabulators are shown escaped. */
  stderr(text: string): void;
  /**
   * Writes what a model has written to stdout: to a terminal with control characters shown escaped; to a
   * file or a pipe, where it is data, as it is.
   */
  generated(text: string): void;
  /**
   * Writes a line of progress over the one before, in a terminal behind stderr.
   *
   * @param sequence Where to, as an escape sequence: nothing from a file may stand in it.
   * @param text The line, whose control characters are shown escaped.
   */
  draw(sequence: string, text: string): void;
  /**
   * Width of the terminal behind stderr; null where it is a file or a pipe, which get plain lines.
   */
  readonly columns: number | null;
  /** Standard input; left out where there is none. */
  readonly input?: TerminalInput;
  /** Calls `handler` at Ctrl-C, until the result is disposed of. */
  onInterrupt(handler: () => void): Disposable;
  /**
   * Calls `handler` when the process is asked to end, by Ctrl-C or by SIGTERM or SIGHUP, with the
   * exit code that it should end with, until the result is disposed of.
   */
  onStop(handler: (code: number) => void): Disposable;
  /** The program behind it, for a command that runs it once more; left out where there is none. */
  readonly program?: Program;
}

/** The program that a process runs. */
export interface Program {
  /** Address of its module. */
  readonly url: string;
  /** The words of its command line. */
  readonly words: readonly string[];
  /** The process that started this one and watches over it: see `supervise.ts`. */
  readonly supervisor?: Supervisor;
}

/** What the process that watches over this one says. */
export interface Supervisor {
  /** What this process is to do. */
  readonly order: Order;
  /** Calls `handler` when it passes on that the work is to end, as {@linkcode Terminal.onStop} does. */
  onStop(handler: (code: number) => void): Disposable;
}

/** Where a process begins. */
export interface Order {
  from: RestartFrom;
  /** How many seconds ago, and at which step, the first one began whose work this one goes on with. */
  begun?: { seconds: number; step: number };
}

/** Standard input. */
export interface TerminalInput {
  /** Asks for a line; null at the end. */
  readLine(prompt: string): Promise<string | null>;
  /** Reads it to its end. */
  readAll(): Promise<string>;
}

/** Exit code of a process that Ctrl-C ended, by the convention of shells. */
export const INTERRUPTED = 130;

/** Escape sequences of colours. */
const [GREEN, PLAIN] = ["\x1b[32m", "\x1b[0m"];
/** Escape sequence: what is right of the cursor goes. */
const CLEAR_TO_END = "\x1b[K";

/** The exit codes of signals that ask a process to end: 128 and the number of the signal. */
export const STOP_SIGNALS = { SIGINT: INTERRUPTED, SIGTERM: 143, SIGHUP: 129 } as const;

/** The streams of this process. A second Ctrl-C ends it at once. */
export function processTerminal(program?: Program): Terminal {
  const handlers: (() => void)[] = [];
  const lines = new LineInput(() => {
    const handler = handlers.at(-1);
    handler?.();
    return handler !== undefined;
  });
  return {
    input: {
      readLine: (prompt) => lines.read(prompt),
      readAll: () => new Response(Deno.stdin.readable).text(),
    },
    ...writersOf({
      stdout: (text) => writeAll(Deno.stdout, text),
      stderr: (text) => writeAll(Deno.stderr, text),
      isTerminal: Deno.stdout.isTerminal(),
      isStyled: Deno.stdout.isTerminal() && !Deno.noColor,
    }),
    get columns() {
      // Some terminals, such as those of `script`, do not know their size.
      return Deno.stderr.isTerminal() ? Deno.consoleSize().columns || 80 : null;
    },
    program,
    onStop: (handler) => onStop(handler, program?.supervisor),
    onInterrupt(handler) {
      let count = 0;
      const listener = () => {
        if (++count > 1) Deno.exit(INTERRUPTED);
        handler();
      };
      Deno.addSignalListener("SIGINT", listener);
      handlers.push(listener);
      return {
        [Symbol.dispose]() {
          Deno.removeSignalListener("SIGINT", listener);
          handlers.splice(handlers.indexOf(listener), 1);
        },
      };
    },
  };
}

/** Streams that take every text as it is, and what stdout is. */
export interface Streams {
  stdout(text: string): void;
  stderr(text: string): void;
  /** Whether stdout is a terminal. */
  isTerminal: boolean;
  /** Whether it shows colours, and nobody has forbidden them. */
  isStyled: boolean;
}

/** The one place where text goes to a terminal, and where it is made printable. */
export function writersOf(
  { stdout, stderr, isTerminal, isStyled }: Streams,
): Pick<Terminal, "stdout" | "stderr" | "generated" | "draw"> {
  return {
    stdout(text, marked = false) {
      const shown = printableLines(text);
      stdout(!marked ? shown : isStyled ? `${GREEN}${shown}${PLAIN}` : `⟦${shown}⟧`);
    },
    stderr: (text) => stderr(printableLines(text)),
    generated: (text) => stdout(isTerminal ? printableLines(text) : text),
    draw: (sequence, text) => stderr(sequence + printable(text) + CLEAR_TO_END),
  };
}

/** After SIGHUP nobody reads what is written, and writing may fail: the work is still to be saved. */
let terminalIsGone = false;

/**
 * Listens to whatever asks to end: signals, and the supervisor, who passes on those that it gets. A second
 * one ends the process at once. Ctrl-C in a terminal comes both ways, so each way counts for itself.
 */
function onStop(handler: (code: number) => void, supervisor?: Supervisor): Disposable {
  using added = new DisposableStack();
  let asked = 0;
  const way = () => {
    let count = 0;
    return (code: number) => {
      if (++count <= asked) return;
      asked = count;
      if (count > 1) Deno.exit(code);
      handler(code);
    };
  };
  added.use(onStopSignals(way()));
  if (supervisor) added.use(supervisor.onStop(way()));
  return added.move();
}

/** Calls `handler` with the exit code at every signal that asks to end, until the result is disposed of. */
export function onStopSignals(handler: (code: number) => void): Disposable {
  using added = new DisposableStack();
  for (const [name, code] of Object.entries(STOP_SIGNALS)) {
    const signal = name as keyof typeof STOP_SIGNALS;
    const listener = () => {
      if (signal === "SIGHUP") terminalIsGone = true;
      handler(code);
    };
    try {
      Deno.addSignalListener(signal, listener);
    } catch (error) {
      if (error instanceof TypeError) continue; // Windows has no SIGTERM
      throw error;
    }
    added.defer(() => Deno.removeSignalListener(signal, listener));
  }
  return added.move();
}

function writeAll(stream: typeof Deno.stdout, text: string): void {
  const bytes = new TextEncoder().encode(text);
  try {
    for (let done = 0; done < bytes.length;) done += stream.writeSync(bytes.subarray(done));
  } catch (error) {
    // Nobody reads progress and notes any more, as with `2>&1 | head`: the work goes on without.
    const unread = stream === Deno.stderr && error instanceof Deno.errors.BrokenPipe;
    // A terminal that was closed says so by this error too, which may come before its signal.
    if (stream === Deno.stderr && (error as { code?: string }).code === "EIO") {
      terminalIsGone = true;
    }
    if (!terminalIsGone && !unread) throw error;
  }
}

/** The same terminal for work that is kept in files, and goes on when nobody reads its results. */
export function outlivingReaders(terminal: Terminal): Terminal {
  const stdout: Terminal["stdout"] = (...args) => {
    try {
      terminal.stdout(...args);
    } catch (error) {
      if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
    }
  };
  return new Proxy(terminal, {
    get(target, key) {
      if (key === "stdout") return stdout;
      const value = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** A signal that Ctrl-C aborts, until it is disposed of. */
export function interrupting(
  terminal: Terminal,
  reason: Error,
): Disposable & { signal: AbortSignal } {
  const stop = new AbortController();
  const interrupt = terminal.onInterrupt(() => stop.abort(reason));
  return { signal: stop.signal, [Symbol.dispose]: () => interrupt[Symbol.dispose]() };
}

/** Says what is no error but should be known, in one line whatever it quotes. */
export function tell(terminal: Terminal, kind: "note" | "warning", text: string): void {
  terminal.stderr(`${kind}: ${printable(text)}\n`);
}

/** The same as a function of what should be known. */
export function noticesOn(terminal: Terminal): (notice: string) => void {
  return (notice) => tell(terminal, "note", notice);
}
