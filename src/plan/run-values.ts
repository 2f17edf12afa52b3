/** What the options of `run` said, as text: each is read where its meaning is. cli/run-options.ts has the table that makes them. */
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
  version?: boolean;
}
