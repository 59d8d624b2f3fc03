/**
 * `fetch`: brings a model or a data set from a hub.
 *
 * @module
 */

import { fetchData } from "../io/hub/data.ts";
import { fetchModel } from "../io/hub/model.ts";
import { command } from "./command.ts";
import type { Command } from "./command_type.ts";
import { toggle } from "./flags.ts";
import { transferring } from "./located.ts";

/** The command `fetch`. */
export const fetchCommand: Command = command({
  name: "fetch",
  summary: "Download a model or a data set from the hub, and print where it is",
  synopsis: "ORG/NAME[@REVISION] [options]",
  argument: "ORG/NAME",
  flags: {
    dataset: toggle("NAME is a data set, ORG/NAME[@REVISION][:SPLIT]"),
  },
  async run({ dataset = false }, terminal, name) {
    const paths = await transferring(
      name,
      terminal,
      async (options) =>
        dataset ? await fetchData(name, options) : [await fetchModel(name, options)],
    );
    for (const path of paths) terminal.stdout(`${path}\n`);
  },
});
