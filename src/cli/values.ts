/** How the sub-commands read their options. */
import { ANSWER } from "../error.ts";
import { readerOf } from "../values.ts";

export { given } from "../values.ts";

export const { usage, number, wholeNumber, duration, size, oneOf, listOf, urlPath } = readerOf(ANSWER.usage);
