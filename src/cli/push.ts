/**
 * `push`: puts what was trained on a hub.
 *
 * @module
 */

import { licenseOf, pushModel } from "../io/hub/push.ts";
import { modelCard } from "../io/hub/model_card.ts";
import { command } from "./command.ts";
import type { Command } from "./command_type.ts";
import { path, text, toggle } from "./flags.ts";
import { transferring } from "./located.ts";
import { factsOfRun } from "./run_card.ts";
import { tell } from "./terminal.ts";

/** The command `push`. */
export const push: Command = command({
  name: "push",
  summary: "Put a trained model or adapter on the hub, with a card that says how it was made",
  synopsis: "ORG/NAME[@BRANCH] [options]",
  argument: "ORG/NAME",
  flags: {
    model: path("DIR", "Folder that was trained or merged into", "./out"),
    private: toggle("Only you see it, if it is not there yet", "as your settings on the hub say"),
    license: text("NAME", "License for the card, such as apache-2.0", "the base model's, if known"),
    message: text("TEXT", "One line about the commit"),
  },
  async run({ model = "./out", license, private: isPrivate, message }, terminal, name) {
    const facts = await factsOfRun(model);
    const result = await transferring(name, terminal, async (options) => {
      const known = license ?? (facts.base && await licenseOf(facts.base, options));
      const card = modelCard({
        ...facts,
        name: name.split("@")[0],
        ...known && { license: known },
      });
      return await pushModel(name, model, { ...options, private: isPrivate, message, card });
    }, "up");
    const { files, leftOut, url, commit } = result;
    terminal.stderr(`pushed ${files.join(", ")}\n`);
    if (leftOut.length > 0) tell(terminal, "note", `left out ${leftOut.join(", ")}`);
    terminal.stdout(`${url}\ncommit ${commit}\n`);
  },
});
