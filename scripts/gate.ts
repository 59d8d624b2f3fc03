/**
 * Everything that must hold before a change lands: format, lint, types, documentation, the kernel
 * bundle, the tests, the examples, every kernel the tests used under both WGSL compilers, and a dry
 * run of publishing.
 *
 * Run: `deno task ok`.
 *
 * @module
 */

import { join } from "node:path";
import { DAWN_PACKAGE } from "../src/gpu/dawn.ts";
import { countTests } from "./run_tests.ts";

interface Check {
  name: string;
  /** Arguments of `deno`. */
  args: string[];
  env?: Record<string, string>;
}

/** Files that one check leaves for later ones. */
interface Files {
  /** Kernels that the tests requested from devices, for the check of the kernels. */
  kernelLog: string;
  /** The tests' results as JUnit XML. */
  results: string;
}

function checks({ kernelLog, results }: Files): Check[] {
  return [
    { name: "format", args: ["fmt", "--check"] },
    { name: "lint", args: ["lint"] },
    { name: "types", args: ["check"] },
    { name: "documentation", args: ["doc", "--lint", "mod.ts", "cli.ts", "fp8.ts"] },
    { name: "kernel bundle", args: ["run", "-A", "scripts/bundle_wgsl.ts", "--check"] },
    {
      name: "tests",
      args: [
        // Without the lock, which Dawn's package would get into. Their types are checked above.
        ...["task", "test", "--no-lock", "--no-check", "--preload=tests/support/record_kernels.ts"],
        `--junit-path=${results}`,
      ],
      env: {
        KERNEL_LOG: kernelLog,
        FALQON_DAWN: Deno.env.get("FALQON_DAWN") ?? DAWN_PACKAGE,
        FALQON_SLOW_TESTS: "1",
      },
    },
    { name: "examples", args: ["task", "examples"] },
    { name: "kernels", args: ["run", "-A", "--no-lock", "scripts/check_wgsl.ts", kernelLog] },
    { name: "package", args: ["task", "publish"] },
  ];
}

if (import.meta.main) {
  const folder = await Deno.makeTempDir();
  const files = { kernelLog: join(folder, "kernels.jsonl"), results: join(folder, "results.xml") };
  const outcomes: string[] = [];
  let passed = true;
  for (const { name, args, env } of checks(files)) {
    console.log(`\n# ${name}: deno ${args.join(" ")}`);
    const start = performance.now();
    const { success } = await new Deno.Command(Deno.execPath(), { args, env }).spawn().status;
    const seconds = (performance.now() - start) / 1000;
    outcomes.push(`${success ? "ok    " : "FAILED"} ${name} (${seconds.toFixed(1)} s)`);
    passed &&= success;
  }
  console.log(`\n${outcomes.join("\n")}`);
  const results = await Deno.readTextFile(files.results).catch(() => null);
  console.log(results === null ? "no test ran" : countTests(results));
  await Deno.remove(folder, { recursive: true });
  Deno.exit(passed ? 0 : 1);
}
