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

import { main } from "./src/cli/main.ts";
import { processTerminal } from "./src/cli/terminal.ts";

if (import.meta.main) Deno.exit(await main(Deno.args, processTerminal()));
