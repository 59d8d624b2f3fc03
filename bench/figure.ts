/**
 * Draws the README's figure: the time of a training step by method and by path to the GPU.
 *
 * `deno run -A bench/figure.ts steps.jsonl docs/step_time.svg` reads lines of `bench/suite.ts`, its
 * groups `methods` and `torch`; of several with one label the last counts.
 *
 * @module
 */

import type { SuiteLine } from "./suite.ts";

/** One bar. */
interface Bar {
  name: string;
  ms: number;
  /** Drawn in the colour that stands out. */
  ours: boolean;
}

/** Bars below a heading. */
interface Section {
  heading: string;
  bars: Bar[];
}

/** Sizes in pixels. */
const WIDTH = 760;
const LEFT = 176;
const RIGHT = 84;
const ROW = 24;
const BAR = 16;
const HEADING = 34;
const TOP = 56;

const PATHS: readonly (readonly [gpu: string, heading: string])[] = [
  ["dawn", "WebGPU with tensor cores (Dawn)"],
  ["native", "WebGPU of the runtime (native)"],
];

/** Labels of PyTorch's bars, by method of bench/torch_step.py. */
const TORCH_METHODS: Readonly<Record<string, string>> = {
  "peft-lora-bf16": "PEFT LoRA",
  "peft-qlora-bnb-nf4": "PEFT QLoRA",
  "falqon-as-published": "FALQON as published",
};

/**
 * Colours for light and for dark pages; text and bars contrast with both by at least 4.5 and 3 to
 * 1.
 */
const STYLE = `
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-size: 15px; font-weight: 600 }
.heading { font-weight: 600 }
.note { font-size: 12px; fill: #57606a }
rect { fill: #8c959f }
.ours { fill: #0969da }
line { stroke: #d0d7de }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.note { fill: #9da7b3 }
rect { fill: #6e7681 }
.ours { fill: #4493f8 }
line { stroke: #30363d }
}`;

/** Draws the lines of a suite as SVG. */
export function drawSteps(lines: readonly SuiteLine[]): string {
  const latest = new Map<string, SuiteLine>();
  for (const line of lines) {
    const shown = line.group === "methods" || line.group === "torch";
    // The full model with checkpointing is another step.
    if (shown && line.stepMs !== undefined && !line.checkpointing) latest.set(line.label, line);
  }
  const sections = sectionsOf([...latest.values()]);
  const bars = sections.flatMap((section) => section.bars);
  if (bars.length === 0) throw new RangeError("There are no step times to draw");
  const longest = Math.max(...bars.map(({ ms }) => ms));
  const scale = (WIDTH - LEFT - RIGHT) / longest;
  const parts: string[] = [];
  let y = TOP;
  for (const { heading, bars } of sections) {
    parts.push(text(0, y + 20, heading, "heading"));
    y += HEADING;
    const end = y + ROW * bars.length - ROW + BAR;
    parts.push(`<line x1="${LEFT - 0.5}" y1="${y - 4}" x2="${LEFT - 0.5}" y2="${end + 4}"/>`);
    for (const { name, ms, ours } of bars) {
      const width = Math.max(1, ms * scale);
      parts.push(
        text(LEFT - 8, y + 13, name, "", "end"),
        `<rect${ours ? ' class="ours"' : ""} x="${LEFT}" y="${y}" width="${width.toFixed(1)}" ` +
          `height="${BAR}" rx="2"/>`,
        text(LEFT + width + 8, y + 13, `${formatMs(ms)} ms`),
      );
      y += ROW;
    }
  }
  const all = [...latest.values()];
  // PyTorch's lines know less of the model.
  const head = describe(all.find(({ gpu }) => gpu !== undefined) ?? all[0]);
  const height = y + 8;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" ` +
    `aria-labelledby="title desc">\n<title id="title">${escape(head.title)}</title>\n` +
    `<desc id="desc">${escape(spell(sections))}</desc>\n<style>${STYLE}\n</style>\n` +
    [
      text(0, 18, head.title, "title"),
      text(0, 38, head.note, "note"),
      ...parts,
    ].join("\n") + "\n</svg>\n";
}

function sectionsOf(lines: readonly SuiteLine[]): Section[] {
  const bars = (some: readonly SuiteLine[], name: (line: SuiteLine) => string): Bar[] =>
    some.map((line) => ({
      name: name(line),
      ms: line.stepMs!,
      // In any format: "falqon", "falqon int8".
      ours: String(line.method).split(" ")[0] === "falqon",
    })).sort((a, b) => a.ms - b.ms);
  const sections = PATHS.map(([gpu, heading]) => ({
    heading,
    bars: bars(lines.filter((line) => line.gpu === gpu), ({ method }) => String(method)),
  }));
  const torch = lines.filter(({ group }) => group === "torch");
  sections.push({
    heading: "PyTorch (CUDA)",
    bars: bars(
      torch,
      ({ method, compiled }) => `${TORCH_METHODS[String(method)]}${compiled ? ", compiled" : ""}`,
    ),
  });
  return sections.filter((section) => section.bars.length > 0);
}

function describe(line: SuiteLine): { title: string; note: string } {
  const { width, layers, batch, sequenceLength, rank, adapter } = line;
  return {
    title: "Time of a training step, less is better",
    note: `LLaMA-${String(width).toUpperCase()} width, ${layers} layers, ${batch} × ` +
      `${sequenceLength} tokens, rank ${rank}, ${adapter}`,
  };
}

/** The figure in words. */
function spell(sections: readonly Section[]): string {
  return sections.map(({ heading, bars }) =>
    `${heading}: ${bars.map(({ name, ms }) => `${name} ${formatMs(ms)} ms`).join(", ")}.`
  ).join(" ");
}

function formatMs(ms: number): string {
  return ms < 100 ? ms.toFixed(1) : ms.toFixed(0);
}

function text(x: number, y: number, content: string, kind = "", anchor = ""): string {
  const attributes = (kind && ` class="${kind}"`) + (anchor && ` text-anchor="${anchor}"`);
  return `<text x="${Number(x.toFixed(1))}" y="${y}"${attributes}>${escape(content)}</text>`;
}

function escape(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

if (import.meta.main) {
  const [from, to] = Deno.args;
  if (to === undefined) {
    console.error("usage: deno run -A bench/figure.ts LINES.jsonl FIGURE.svg");
    Deno.exit(2);
  }
  const lines = (await Deno.readTextFile(from)).trim().split("\n");
  await Deno.writeTextFile(to, drawSteps(lines.map((line) => JSON.parse(line))));
}
