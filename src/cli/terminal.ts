/**
 * The streams and signals of a process, as an interface, so that tests can run commands in their
 * own process.
 *
 * @module
 */

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
  /** Whether stdout is a terminal that shows colours, and nobody has forbidden them. */
  readonly styled?: boolean;
  /** Calls `handler` at Ctrl-C, until the result is disposed of. */
  onInterrupt(handler: () => void): Disposable;
}

/** Exit code of a process that Ctrl-C ended, by the convention of shells. */
export const INTERRUPTED = 130;

/** The streams of this process. A second Ctrl-C ends it at once. */
export function processTerminal(): Terminal {
  return {
    stdout: (text) => writeAll(Deno.stdout, text),
    stderr: (text) => writeAll(Deno.stderr, text),
    get columns() {
      // Some terminals, such as those of `script`, do not know their size.
      return Deno.stderr.isTerminal() ? Deno.consoleSize().columns || 80 : null;
    },
    get styled() {
      return Deno.stdout.isTerminal() && !Deno.noColor;
    },
    onInterrupt(handler) {
      let count = 0;
      const listener = () => {
        if (++count > 1) Deno.exit(INTERRUPTED);
        handler();
      };
      Deno.addSignalListener("SIGINT", listener);
      return { [Symbol.dispose]: () => Deno.removeSignalListener("SIGINT", listener) };
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
