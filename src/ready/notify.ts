/**
 * `notify`: the generation sends READY=1 by the protocol of sd_notify(3). This is no proof that it answers: gunicorn sends it before a
 * worker has imported the app. Combine it with `http` if that matters. EXTEND_TIMEOUT_USEC moves the deadline.
 */
import type { Check } from "./check.ts";

const MISSING = "it has not sent READY=1";

export const notifyCheck = (): Check => ({
  label: "notify",
  needs: ["notify"],
  start({ onNotify, note, extend }, passed) {
    note(MISSING);
    return onNotify(
      (message) => {
        if (message.EXTEND_TIMEOUT_USEC) extend(Number(message.EXTEND_TIMEOUT_USEC) / 1000);
        if (message.STATUS) note(`${MISSING} (its status: ${message.STATUS})`);
        if (message.READY === "1") passed();
      },
      ({ pid, uid }) => note(`${MISSING} (ignored: a message of process ${pid}, user ${uid})`),
    );
  },
});
