import { main } from "../../src/cli/main.ts";
import { INTERRUPTED, type Terminal, type TerminalInput } from "../../src/cli/terminal.ts";

/** A terminal that keeps what is written to it. */
export class TestTerminal implements Terminal {
  readonly columns: number | null;
  readonly input: TerminalInput;
  out = "";
  err = "";
  #interrupts: (() => void)[] = [];

  /**
   * @param columns Width, for a terminal that shows a progress bar.
   * @param input Standard input.
   */
  constructor(columns: number | null = null, input = "") {
    this.columns = columns;
    let rest = input;
    this.input = {
      readLine() {
        if (rest === "") return Promise.resolve(null);
        const [line] = rest.split("\n", 1);
        rest = rest.slice(line.length + 1);
        return Promise.resolve(line);
      },
      readAll() {
        const all = rest;
        rest = "";
        return Promise.resolve(all);
      },
    };
  }

  stdout(text: string): void {
    this.out += text;
  }

  stderr(text: string): void {
    this.err += text;
  }

  onInterrupt(handler: () => void): Disposable {
    this.#interrupts.push(handler);
    return { [Symbol.dispose]: () => this.#interrupts.pop() };
  }

  onStop(handler: (code: number) => void): Disposable {
    return this.onInterrupt(() => handler(INTERRUPTED));
  }

  /** Presses Ctrl-C. */
  interrupt(): void {
    for (const handler of this.#interrupts) handler();
  }
}

/** What a command line left behind. */
export interface CommandResult {
  code: number;
  out: string;
  err: string;
}

/** Runs a command line in this process; spaces in `line` separate words, further words follow as they are. */
export async function runCommand(line: string, ...more: string[]): Promise<CommandResult> {
  const terminal = new TestTerminal();
  const code = await main([...line.split(" "), ...more], terminal);
  return { code, out: terminal.out, err: terminal.err };
}
