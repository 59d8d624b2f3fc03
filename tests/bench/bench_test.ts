import { assert, assertAlmostEquals, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { join } from "node:path";
import { roofline, stepTables } from "../../bench/report.ts";
import { drawSteps } from "../../bench/figure.ts";
import { run as runStep } from "../../bench/step.ts";
import { deviationFromLine, run as runSuite, type SuiteLine } from "../../bench/suite.ts";
import { GROUPS } from "../../bench/support/suite_runs.ts";
import { withFolder } from "../support/io.ts";
import { slowTest } from "../support/slow.ts";
import { TestTerminal } from "../support/terminal.ts";

const TINY = ["--width", "tiny", "--layers", "1", "--batch", "2", "--sequence-length", "24"];

slowTest("every method is measured: its loss falls, its peak is what was predicted", async () => {
  const methods = [
    ["falqon"],
    ["falqon", "--format", "int8", "--update-rule", "stochastic"],
    ["torchao-style"],
    ["lora", "--base", "f16"],
    ["qlora"],
    ["full"],
  ];
  for (const [i, method] of methods.entries()) {
    const terminal = new TestTerminal();
    const rank = method[0] === "full" ? [] : ["--rank", "4"];
    const more = i % 2 === 0 ? ["--gradient-checkpointing"] : [];
    const args = [...TINY, ...rank, ...more, "--method", ...method, "--steps", "6", "--profile"];
    const result = await runStep(args, terminal);
    assertEquals(JSON.parse(JSON.stringify(result)), result);
    assertEquals(result.method, method.filter((word) => !word.startsWith("--")).join(" "));
    assert(result.lastLoss < result.firstLoss, `${method}: ${result.firstLoss}`);
    assertAlmostEquals(result.firstLoss, Math.log(512), 0.5);
    const surprise = result.peakBytes / result.predictedPeakBytes;
    assert(surprise >= 0.95 && surprise <= 1.05, `${method}: ${surprise}`);
    assert(result.stepMs > 0 && result.wallMs > 0);
    if (result.phases === null) continue; // no timestamps here
    assertEquals(result.stepTimes.length, 3);
    assertEquals(
      Object.keys(result.phases).sort(),
      ["backward", "forward", "loss", "optimizer", "update"],
    );
    assert(result.gemmShare! > 0 && result.gemmShare! < 1);
    assertMatch(terminal.err, /\nforward +gemm/);
  }
});

slowTest(
  "a trace of the bench has every dispatch of the step with its costs",
  () =>
    withFolder(async (folder) => {
      const path = join(folder, "trace.jsonl");
      const args = [...TINY, "--rank", "4", "--method", "falqon", "--steps", "4", "--trace", path];
      const { phases } = await runStep(args, new TestTerminal());
      if (phases === null) return;
      const trace = (await Deno.readTextFile(path)).trim().split("\n").map((line) =>
        JSON.parse(line)
      );
      const sum = trace.reduce((total, { ms }) => total + ms, 0);
      assertAlmostEquals(sum, Object.values(phases).reduce((a, b) => a + b), 1e-6);
      assert(trace.every(({ bytes }) => bytes > 0));
      assert(trace.some(({ kernel, flops }) => kernel === "gemm" && flops > 0));
      // Two products of 16 components for each of 24·25/2 visible pairs, 4 heads and 2 rows.
      const attention = trace.find(({ kernel }) => kernel === "attention_forward");
      assertEquals(attention.flops, 2 * 2 * 16 * 300 * 4 * 2);
    }),
);

slowTest(
  "the suite collects lines, goes on after failures and keeps to its budget",
  () =>
    withFolder(async (folder) => {
      const out = join(folder, "lines.jsonl");
      const flags = ["--groups", "full", "--tokens", "32", "--sequence-length", "16", "--out", out];
      // The last --layers counts, and no model has --vocab 0.
      const step = ["--", "--width", "tiny", "--steps", "4", "--rank", "4", "--layers", "1"];
      const [good] = await runSuite([...flags, ...step], new TestTerminal());
      assertEquals(good.group, "full");
      assert(good.stepMs! > 0);
      const terminal = new TestTerminal();
      const [bad] = await runSuite([...flags, ...step, "--vocab", "0"], terminal);
      assertMatch(bad.error!, /vocab_size/);
      assertMatch(terminal.err, /vocab_size/);
      const [late] = await runSuite([...flags, "--budget", "0", ...step], new TestTerminal());
      assertEquals(late.error, "out of time");
      const lines = (await Deno.readTextFile(out)).trim().split("\n").map((line) =>
        JSON.parse(line)
      );
      assertEquals(lines, [good, bad, late]);
    }),
);

Deno.test("the groups of the suite of benches vary one thing each", () => {
  const options = {
    gpus: ["native", "dawn"],
    flags: [],
    tokens: 8192,
    sequenceLength: 512,
    layers: 8,
    python: "python3",
  };
  const labels = GROUPS.lengths(options).map(({ label }) => label);
  assertEquals(labels[0], "falqon, native, 8 layers, 64×128");
  assertEquals(labels.length, 12);
  const torch = GROUPS.torch(options);
  assertEquals(torch.map(({ label }) => label), [
    "peft in PyTorch, 8 layers",
    "peft in PyTorch, 8 layers, compile",
    "qlora in PyTorch, 8 layers",
    "qlora in PyTorch, 8 layers, compile",
    "falqon in PyTorch, 8 layers",
    "peft in PyTorch, 32 layers, checkpointing",
  ]);
  assert(torch.every(({ command: [python, script] }) => {
    return python === "python3" && Deno.statSync(script).isFile;
  }));
});

Deno.test("the suite of benches knows how far times are from a straight line", () => {
  assertAlmostEquals(deviationFromLine([[1, 12], [2, 14], [4, 18], [8, 26]]), 0, 1e-12);
  // The best line through (1, 1), (2, 2), (3, 3 + e) misses each by about e / 4 to e / 2.
  const off = deviationFromLine([[1, 1], [2, 2], [3, 3.3]]);
  assert(off > 0.01 && off < 0.05);
});

Deno.test("the figure shows the last time of every method by path", () => {
  const line = (label: string, method: string, gpu: string, stepMs: number): SuiteLine => ({
    group: "methods",
    label,
    method,
    gpu,
    stepMs,
    width: "7b",
    layers: 8,
    batch: 16,
    sequenceLength: 512,
    rank: 64,
    adapter: "A & B <GPU>",
  });
  const svg = drawSteps([
    line("a", "falqon", "native", 900),
    line("b", "qlora", "native", 2000.4),
    line("c", "falqon int8", "dawn", 99.44),
    line("a", "falqon", "native", 800),
    { group: "torch", label: "t", method: "peft-lora-bf16", compiled: true, stepMs: 170 },
    { group: "methods", label: "x", error: "out of time" },
    { ...line("e", "falqon", "native", 1), group: "layers" },
  ]);
  assert(svg.length < 10_000);
  const shown = [...svg.matchAll(/>([\d.]+ ms)</g)].map(([, ms]) => ms);
  assertEquals(shown, ["99.4 ms", "800 ms", "2000 ms", "170 ms"]);
  assertMatch(svg, /A &amp; B &lt;GPU>/);
  assertMatch(svg, /<desc[^>]*>WebGPU with tensor cores \(Dawn\): falqon int8 99.4 ms\./);
  assertMatch(svg, /PyTorch \(CUDA\): PEFT LoRA, compiled 170 ms\./);
  assertEquals(svg.match(/<rect class="ours"/g)!.length, 2);
  assertThrows(() => drawSteps([]), RangeError, "no step times");
});

Deno.test("the report tabulates steps by group and the roofline of kernels", () => {
  const step = { group: "methods", stepMs: 123.4, wallMs: 125, tokensPerSecond: 66000 };
  const tables = stepTables([
    { ...step, label: "old", stepMs: 1 },
    { ...step, label: "old", peakBytes: 2e10, gemmShare: 0.812, phases: { forward: 40, loss: 2 } },
    { group: "full", label: "large", error: "out of time" },
  ]);
  assertMatch(tables, /^### methods\n\n\| step \| ms/);
  assert(
    tables.includes("\n| old | 123.4 (125.0) | 66000 | 20.00 GB | 42.0 | 0.000 | 0.000 | 81 % |\n"),
  );
  assertMatch(tables, /### full\n[^]*\| large \| out of time \|/);
  const time = { phase: "forward", label: "x", ms: 1, bytes: 2.1e9, flops: 0 };
  const lines = roofline([
    { ...time, kernel: "norm" },
    { ...time, kernel: "norm" },
    { ...time, kernel: "gemm_f16", flops: 91e9 },
  ]).split("\n");
  assertEquals(lines[2], "| `norm` x | 2 | 2.000 | 2100.0 |  | 2100 GB/s | 4200 GB/s | 50 % |");
  assertMatch(lines[3], /\| 91\.0 \| 2100 GB\/s, 91\.0 TFLOP\/s \| 130 TFLOP\/s \| 70 % \|$/);
});
