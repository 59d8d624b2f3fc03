/**
 * The streams and signals of a process, as an interface, so that tests can run commands in their
 * own process.
 *
 * @module
 */

import { LineInput } from "./line_input.ts";

/** What a command talks to: a process's streams, or a test's. */
export interface Terminal {
  /** Writes results. */
  stdout(text: string): void;
  /** Writes progress, warnings and errors. */
  stderr(text: string): void;
  /**
   * Width of the terminal behind stderr; null where it is a file or a pipe, which get plain lines.
   */
  readonly columns: number | null;
  /** Standard input; left out where there is none. */
  readonly input?: TerminalInput;
  /** Whether stdout is a terminal that shows colours, and nobody has forbidden them. */
  readonly styled?: boolean;
  /** Calls `handler` at Ctrl-C, until the result is disposed of. */
  onInterrupt(handler: () => void): Disposable;
  /**
   * Calls `handler` when the process is asked to end, by Ctrl-C or by SIGTERM or SIGHUP, with the
   * exit code that it should end with, until the result is disposed of.
   */
  onStop(handler: (code: number) => void): Disposable;
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

/** The exit codes of signals that ask a process to end: 128 and the number of the signal. */
const STOP_SIGNALS = { SIGINT: INTERRUPTED, SIGTERM: 143, SIGHUP: 129 } as const;

/** The streams of this process. A second Ctrl-C ends it at once. */
export function processTerminal(): Terminal {
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
    stdout: (text) => writeAll(Deno.stdout, text),
    stderr: (text) => writeAll(Deno.stderr, text),
    get columns() {
      // Some terminals, such as those of `script`, do not know their size.
      return Deno.stderr.isTerminal() ? Deno.consoleSize().columns || 80 : null;
    },
    get styled() {
      return Deno.stdout.isTerminal() && !Deno.noColor;
    },
    onStop,
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

/** After SIGHUP nobody reads what is written, and writing may fail: the work is still to be saved. */
let terminalIsGone = false;

/** Listens to every signal that asks to end; a second one ends the process at once. */
function onStop(handler: (code: number) => void): Disposable {
  using added = new DisposableStack();
  let count = 0;
  for (const [name, code] of Object.entries(STOP_SIGNALS)) {
    const signal = name as keyof typeof STOP_SIGNALS;
    const listener = () => {
      if (++count > 1) Deno.exit(code);
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
    if (!terminalIsGone) throw error;
  }
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

/** Says what is no error but should be known. */
export function noticesOn(terminal: Terminal): (notice: string) => void {
  return (notice) => terminal.stderr(`note: ${notice}\n`);
}
