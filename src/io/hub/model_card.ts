/**
 * The card of a model on a hub: a README.md whose front matter the hub reads, and whose text says how
 * the model came to be.
 *
 * @module
 */

import {
  checkList,
  checkNumber,
  checkObject,
  checkOneOf,
  checkOptions,
  checkText,
  type Names,
} from "../../checks.ts";
import { printable } from "../../printable.ts";

/** What a card states. What is left out is not known, and not mentioned. */
export interface ModelCardFacts {
  /** Name on the hub, `org/name`. */
  name: string;
  /** What was saved: an adapter, or a whole model. */
  kind: "adapter" | "model";
  /** The model that was trained: its name on the hub, or of a folder. */
  base?: string;
  /** The commit of a base on the hub. */
  baseRevision?: string;
  /** What it was trained on: names on the hub, or of files. */
  data?: readonly string[];
  /** What its loss was held out on, in words. */
  heldOut?: string;
  /** The method in words, such as `falqon`. */
  method?: string;
  /** Settings by name. */
  settings?: Readonly<Record<string, string | number | boolean>>;
  /** Steps that were made. */
  steps?: number;
  /** Mean loss per target of held-out rows in nats, before training. */
  lossBefore?: number;
  /** The same, after training. */
  lossAfter?: number;
  /** Loss of the last training steps. */
  trainingLoss?: number;
  /** The command that trained it. */
  command?: string;
  /** License by the hub's identifier, such as `apache-2.0`. */
  license?: string;
}

/** The names of {@linkcode ModelCardFacts}. */
const FACTS_NAMES: Names<ModelCardFacts> = {
  name: true,
  kind: true,
  base: true,
  baseRevision: true,
  data: true,
  heldOut: true,
  method: true,
  settings: true,
  steps: true,
  lossBefore: true,
  lossAfter: true,
  trainingLoss: true,
  command: true,
  license: true,
};

const PACKAGE = "@falqon/webgpu";

/**
 * Writes a card.
 *
 * @throws {OptionError} for facts that are unknown or of another kind.
 */
export function modelCard(facts: ModelCardFacts): string {
  expectFacts(facts);
  const sections = [
    `# ${facts.name.split("/").at(-1)}`,
    introduction(facts),
    usage(facts),
    ...training(facts),
    ...facts.command === undefined ? [] : ["## Command", `\`\`\`sh\n${facts.command}\n\`\`\``],
  ];
  return `${frontMatter(facts)}\n${sections.join("\n\n")}\n`;
}

function expectFacts(facts: ModelCardFacts): void {
  checkOptions("modelCard", facts, FACTS_NAMES);
  const { data = [], settings = {} } = facts;
  checkText("name", facts.name);
  checkOneOf("kind", facts.kind, ["adapter", "model"]);
  checkList("data", data, "names");
  for (const name of data) checkText("data", name);
  checkObject("settings", settings);
  for (const name of ["base", "baseRevision", "heldOut", "method", "command", "license"] as const) {
    if (facts[name] !== undefined) checkText(name, facts[name]);
  }
  for (const name of ["steps", "lossBefore", "lossAfter", "trainingLoss"] as const) {
    if (facts[name] !== undefined) checkNumber(name, facts[name], 0);
  }
}

/** The fields that the hub reads. */
function frontMatter({ kind, base, data = [], license, method }: ModelCardFacts): string {
  const hubData = data.filter(isHubName).map((name) => name.split(":")[0].split("@")[0]);
  const fields: Record<string, string | string[] | undefined> = {
    base_model: base && isHubName(base) ? base : undefined,
    base_model_relation: base && isHubName(base)
      ? kind === "adapter" ? "adapter" : "finetune"
      : undefined,
    datasets: hubData.length > 0 ? [...new Set(hubData)] : undefined,
    library_name: kind === "adapter" ? "peft" : "transformers",
    license,
    pipeline_tag: "text-generation",
    tags: ["falqon-webgpu", ...method ? [method] : []],
  };
  const lines = Object.entries(fields).map(([name, value]) => {
    if (value === undefined) return "";
    if (typeof value === "string") return `${name}: ${JSON.stringify(value)}\n`;
    return `${name}:\n${value.map((item) => `- ${JSON.stringify(item)}\n`).join("")}`;
  });
  return `---\n${lines.join("")}---\n`;
}

function introduction({ kind, base, baseRevision, data = [], method }: ModelCardFacts): string {
  const what = kind === "adapter" ? "A LoRA adapter" : "A language model";
  const commit = baseRevision === undefined ? "" : ` at commit \`${baseRevision.slice(0, 7)}\``;
  const from = base === undefined ? "" : ` for ${shown(base, "")}${commit}`;
  const relation = kind === "adapter" ? from : from.replace(" for ", ", fine-tuned from ");
  const on = data.length === 0
    ? ""
    : ` on ${data.map((name) => shown(name, "datasets/")).join(", ")}`;
  const by = method === undefined ? "" : ` by \`${method}\``;
  return `${what}${relation}${by}${on}, trained with ${PACKAGE}.`;
}

function usage({ name, kind, base }: ModelCardFacts): string {
  const python = kind === "adapter"
    ? [
      "from peft import AutoPeftModelForCausalLM",
      "from transformers import AutoTokenizer",
      "",
      `model = AutoPeftModelForCausalLM.from_pretrained("${name}")`,
      `tokenizer = AutoTokenizer.from_pretrained(${JSON.stringify(base ?? "BASE")})`,
    ]
    : [
      "from transformers import AutoModelForCausalLM, AutoTokenizer",
      "",
      `model = AutoModelForCausalLM.from_pretrained("${name}")`,
      `tokenizer = AutoTokenizer.from_pretrained("${name}")`,
    ];
  const command = `deno run -A jsr:${PACKAGE}/cli generate --model ${name} --prompt "…"`;
  return `## Use\n\n\`\`\`python\n${python.join("\n")}\n\`\`\`\n\n\`\`\`sh\n${command}\n\`\`\``;
}

function training(facts: ModelCardFacts): string[] {
  const { steps, heldOut, lossBefore, lossAfter, trainingLoss, settings = {} } = facts;
  const loss = (value: number) => value.toFixed(4);
  const rows = [
    ...steps === undefined ? [] : [["steps", `${steps}`]],
    ...trainingLoss === undefined ? [] : [["training loss, last steps", loss(trainingLoss)]],
    ...lossBefore === undefined ? [] : [["held-out loss before", loss(lossBefore)]],
    ...lossAfter === undefined ? [] : [["held-out loss after", loss(lossAfter)]],
    ...lossAfter === undefined
      ? []
      : [["held-out perplexity after", Math.exp(lossAfter).toFixed(2)]],
    ...heldOut === undefined ? [] : [["held out", heldOut]],
    ...Object.entries(settings).map(([name, value]) => [name, String(value)]),
  ];
  if (rows.length === 0) return [];
  const table = rows.map(([name, value]) =>
    `| ${name} | ${printable(value).replaceAll("|", "\\|")} |`
  );
  return ["## Training", `| | |\n|---|---|\n${table.join("\n")}`];
}

function shown(name: string, prefix: string): string {
  const page = `https://huggingface.co/${prefix}${name.split(":")[0].split("@")[0]}`;
  return isHubName(name) ? `[${name}](${page})` : `\`${printable(name).replaceAll("`", "'")}\``;
}

/** Whether a name in a card is one on the hub: those of files and folders have no slash. */
function isHubName(name: string): boolean {
  return /^[\w.-]+\/[\w.-]+(@[^:]+)?(:.+)?$/.test(name);
}
