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
  /** Asks for a line of standard input; null at its end. */
  readLine(prompt: string): Promise<string | null>;
  /** Reads standard input to its end. */
  readAll(): Promise<string>;
  /** Calls `handler` at Ctrl-C, until the result is disposed of. */
  onInterrupt(handler: () => void): Disposable;
}

/** Exit code of a process that Ctrl-C ended, by the convention of shells. */
export const INTERRUPTED = 130;

/** The streams of this process. A second Ctrl-C ends it at once. */
export function processTerminal(): Terminal {
  const handlers: (() => void)[] = [];
  const lines = new LineInput(() => {
    const handler = handlers.at(-1);
    handler?.();
    return handler !== undefined;
  });
  return {
    readLine: (prompt) => lines.read(prompt),
    readAll: () => new Response(Deno.stdin.readable).text(),
    stdout: (text) => writeAll(Deno.stdout, text),
    stderr: (text) => writeAll(Deno.stderr, text),
    get columns() {
      // Some terminals, such as those of `script`, do not know their size.
      return Deno.stderr.isTerminal() ? Deno.consoleSize().columns || 80 : null;
    },
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

function writeAll(stream: typeof Deno.stdout, text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let done = 0; done < bytes.length;) done += stream.writeSync(bytes.subarray(done));
}

/** Says what is no error but should be known. */
export function noticesOn(terminal: Terminal): (notice: string) => void {
  return (notice) => terminal.stderr(`note: ${notice}\n`);
}
