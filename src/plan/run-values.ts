/** The defaults of options. The default of an option that is not here depends on the surroundings or on the server. */
export const RUN_DEFAULTS = {
  "warmup-time": "1",
  handover: "auto",
  cutover: "steer",
  "ready-timeout": "60s",
  "drain-until-idle": "5s",
  "kept-connections": "auto",
  "stop-delay": "0",
  "max-draining": "4",
  "on-crash": "exit",
  "respawn-limit": "5/60s",
  "hook-timeout": "30s",
  "log-format": "text",
} as const satisfies Partial<RunValues>;

/** The values of `run`'s options as text; each is parsed where it is used. cli/run-options.ts has the table of these options. */
export interface RunValues {
  "warmup-time"?: string;
  "kill-at-exit"?: boolean;
  verbose?: boolean[];
  quiet?: boolean;
  bind?: string[];
  backlog?: string;
  "socket-mode"?: string;
  "socket-owner"?: string;
  handover?: string;
  cutover?: string;
  ready?: string[];
  "ready-timeout"?: string;
  "drain-until-idle"?: string;
  "kept-connections"?: string;
  "stop-signal"?: string;
  "stop-delay"?: string;
  "max-draining"?: string;
  "on-crash"?: string;
  "respawn-limit"?: string;
  chdir?: string;
  user?: string;
  group?: string;
  umask?: string;
  "env-file"?: string;
  name?: string;
  "run-dir"?: string;
  pidfile?: string;
  control?: boolean;
  hook?: string[];
  "hook-timeout"?: string;
  "log-format"?: string;
  preflight?: string[];
  confirm?: string;
  judge?: string;
  keep?: string;
  "max-age"?: string;
  "max-memory"?: string;
  "watch-path"?: string;
  version?: boolean;
}
