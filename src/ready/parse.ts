/** `--ready CHECK`: from the words to the check. */
import { parseDuration } from "../duration.ts";
import { HupwatchError } from "../error.ts";
import type { Check } from "./check.ts";
import { connectCheck } from "./connect.ts";
import { delayCheck } from "./delay.ts";
import { execCheck } from "./exec.ts";
import { anyAnswer, httpCheck } from "./http.ts";
import { lineCheck } from "./line.ts";
import { notifyCheck } from "./notify.ts";

/** `/path`, `//host` or `//host/path`: nothing that could end the request's lines. */
const HTTP_TARGET = /^(?=.)(\/\/[\w.:[\]-]+)?(\/(?!\/)\S*)?$/;

const CHECK_FORMS = "http, http:/path, http://HOST/path, connect, notify, line:REGEX, exec:CMD, delay:SEC";

/** The check if the user requests none: `http`, for which any sign of life is enough, or `connect`. */
export const defaultCheck = (kind: "http" | "connect"): Check =>
  kind === "http" ? anyAnswer() : connectCheck();

/** Throws a usage error that names the value. */
export function parseCheck(text: string): Check {
  const [, kind = text, argument] = /^([a-z]+):(.*)$/s.exec(text) ?? [];
  switch (kind) {
    case "http":
      if (argument === undefined || HTTP_TARGET.test(argument)) return httpCheck(argument);
      break;
    case "connect":
      if (argument === undefined) return connectCheck();
      break;
    case "notify":
      if (argument === undefined) return notifyCheck();
      break;
    case "line":
      if (argument) return lineCheck(argument);
      break;
    case "exec":
      if (argument) return execCheck(argument);
      break;
    case "delay":
      if (argument) return delayCheck(parseDuration(argument, `--ready ${text}`));
      break;
  }
  throw new HupwatchError("check.invalid", `--ready '${text}' is not a readiness check`, {
    hint: `use one of ${CHECK_FORMS}`,
  });
}
