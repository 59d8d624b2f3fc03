/**
 * The command line: `train`, `eval`, `generate`, `inspect`, `devices`.
 *
 * ```sh
 * deno run -A jsr:@falqon/webgpu/cli train --model ./model --data ./train.jsonl
 * deno run -A jsr:@falqon/webgpu/cli --help
 * ```
 *
 * @module
 */

import { tmpdir } from "node:os";
import { main } from "./src/cli/main.ts";
import { exitCodeOf, startedProgram } from "./src/cli/supervise.ts";
import { processTerminal } from "./src/cli/terminal.ts";

if (import.meta.main) {
  quietDriver();
  const program = await startedProgram(Deno.args, import.meta.url);
  Deno.exit(exitCodeOf(program, await main(program.words, processTerminal(program))));
}

/**
 * Mesa's driver complains on stderr about a missing folder for sockets; it never uses the folder.
 */
function quietDriver(): void {
  const { state } = Deno.permissions.querySync({ name: "env", variable: "XDG_RUNTIME_DIR" });
  if (Deno.build.os !== "linux" || state !== "granted") return;
  if (!Deno.env.has("XDG_RUNTIME_DIR")) Deno.env.set("XDG_RUNTIME_DIR", tmpdir());
}
