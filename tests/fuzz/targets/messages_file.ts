/** A conversation to answer, as a file. */

import { readMessages } from "../../../src/cli/messages_file.ts";
import type { Terminal } from "../../../src/cli/terminal.ts";
import { plainContent } from "../../../src/data/message_content.ts";
import { ChatTemplate } from "../../../src/io/chat_template.ts";
import { CHAT_TEMPLATES } from "../../../src/io/chat_templates.ts";
import { mutateBytes } from "../frame/mutate_bytes.ts";
import { mutateJsonText } from "../frame/mutate_json.ts";
import { showBytes } from "../frame/outcome.ts";
import { type FuzzTarget, Nonsense } from "../frame/target.ts";
import { MemoryFiles } from "../support/memory_files.ts";

/** What the templates' `trim` takes away, as Python's does. */
// deno-lint-ignore no-control-regex
const SPACE = /^[\s\u001c-\u001f\u0085]+|[\s\u001c-\u001f\u0085]+$/g;

const SEEDS = [
  [{ role: "user", content: "q" }],
  [{ role: "system", content: "s" }, { role: "user", content: [{ type: "text", text: "q" }] }],
  {
    messages: [{ role: "user", content: "q" }, { role: "assistant", content: "a" }, {
      role: "user",
      content: "r",
    }],
  },
];

export const target: FuzzTarget<Uint8Array> = {
  about: "files of messages",
  cost: "cheap",
  prepare: () => {
    const memory = new MemoryFiles();
    const template = new ChatTemplate(CHAT_TEMPLATES.chatml.source);
    return {
      make: (random) => {
        const bytes = new TextEncoder().encode(mutateJsonText(random, SEEDS));
        return random.chance(0.1) ? mutateBytes(random, [bytes]) : bytes;
      },
      async run(bytes) {
        memory.files.set("m.json", bytes);
        const messages = await readMessages("m.json", {} as Terminal);
        const wrong = messages.find(({ role }) => typeof role !== "string");
        if (wrong !== undefined) throw new Nonsense(`a role is ${wrong.role}`);
        const text = template.render(plainContent(messages, template, "the messages"), {
          addGenerationPrompt: true,
        });
        const lost = messages.find(({ content }) =>
          typeof content === "string" && !text.includes(content.replace(SPACE, ""))
        );
        if (lost !== undefined) {
          throw new Nonsense(`${lost.content} is not in what the model is asked`);
        }
        const other = messages.find(({ content }) =>
          typeof content !== "string" && !Array.isArray(content) && content !== null &&
          content !== undefined
        );
        if (other !== undefined) {
          throw new Nonsense(`the content ${Deno.inspect(other.content)} is taken for a text`);
        }
      },
      show: showBytes,
      close: () => memory[Symbol.dispose](),
    };
  },
};
