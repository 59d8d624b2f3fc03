/**
 * Writes a step's metrics into a ring on the GPU, so that the host reads many steps at once.
 *
 * @module
 */

import type { Program } from "../../gpu/program.ts";
import { METRICS_CAPACITY, type StepState } from "../../gpu/step_state.ts";

/**
 * Records that the step's loss sum, norm and clip factor go into the ring that `takeMetrics` reads.
 */
export function recordMetrics(program: Program, state: StepState): void {
  program.dispatch(
    program.device.kernel("metrics"),
    { inputs: state.inputs, results: state.results, ring: state.ring },
    { capacity: METRICS_CAPACITY },
    [1],
  );
}
