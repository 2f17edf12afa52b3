/** How the options of `run` are read. */
import { EXIT } from "../error.ts";
import { readerOf } from "../values.ts";

export { given } from "../values.ts";

export const { usage, wholeNumber, duration, size, oneOf } = readerOf(EXIT.failed);
