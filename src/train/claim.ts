/**
 * Whose the model is: it has one network on the GPU, that of the last trainer or `model.use`. An
 * earlier trainer must not go on, with a network that is gone, nor evaluate or save another's for
 * its own.
 *
 * @module
 */

import { TrainingError } from "../errors.ts";
import type { Model } from "../inference/model.ts";
import type { Network } from "../model/network.ts";

/** A trainer's hold on the network that it put on the model. */
export class Claim {
  readonly #model: Model;
  readonly #network: Network;
  #ended = false;

  constructor(model: Model, network: Network) {
    this.#model = model;
    this.#network = network;
  }

  /** Whether the trainer may use the network. */
  get holds(): boolean {
    return !this.#ended && this.#model.holds(this.#network);
  }

  /** Gives it up, as the trainer is disposed of. */
  end(): void {
    this.#ended = true;
  }

  /** @throws {TrainingError} if the claim has ended. */
  expect(): void {
    if (this.#ended) {
      throw new TrainingError(
        "Cannot use this trainer as it was disposed of: make another, with resumeFrom to go on; " +
          "the model itself can evaluate, generate and save",
      );
    }
    if (!this.holds) {
      throw new TrainingError(
        "Cannot use this trainer as its model was disposed of, or put under another trainer or " +
          "method, which ended this one: use that, or make a new trainer, with resumeFrom to go " +
          "on from a checkpoint",
      );
    }
  }
}
