/** Configuration files of servers that have more than words. */
import { readdirSync } from "node:fs";
import type { Place } from "./server-row.ts";

export const NGINX = "/usr/sbin/nginx";
/** Debian has its version in the name. */
export const PHP_FPM = `/usr/sbin/${readdirSync("/usr/sbin").find((name) => /^php-fpm[\d.]+$/.test(name)) ?? "php-fpm"}`;

export const nginxConfig = (directory: string, at: string) => `
worker_processes 2;
error_log stderr error;
pid ${directory}/nginx.pid;
events {}
http {
  access_log off;
  client_body_temp_path ${directory}/body;
  server {
    listen ${at};
    include ${directory}/version.conf;
    location / { add_header X-Request-Id $http_x_request_id; add_header X-Version $served; return 200 hello; }
  }
}
`;

export const HAPROXY_CONFIG = `
defaults
  mode http
  timeout connect 5s
  timeout client 10s
  timeout server 10s
frontend app
  bind fd@3
  http-request return status 200 content-type text/plain string hello hdr X-Version "%[env(HUPWATCH_GENERATION)]" hdr X-Request-Id "%[req.hdr(x-request-id)]"
`;

/** A bare address, a port or a path: so one line does for both. Without process_control_timeout it cuts what runs. */
export const FPM_POOL = `
[global]
daemonize = no
error_log = fpm.log
process_control_timeout = 30s
[www]
user = root
group = root
listen = \${HUPWATCH_SOCKET}
pm = static
pm.max_children = 8
clear_env = no
`;

/** One try for each request, on a connection of its own. */
export const fastCgiFront = ({ directory, transport, at }: Place, front: string) => `
user root;
daemon off;
worker_processes 1;
error_log stderr emerg;
pid ${directory}/front.pid;
events {}
http {
  access_log off;
  client_body_temp_path ${directory}/front-body;
  fastcgi_temp_path ${directory}/front-answers;
  server {
    listen ${front};
    location / {
      include /etc/nginx/fastcgi_params;
      fastcgi_param SCRIPT_FILENAME ${directory}/app.php;
      fastcgi_next_upstream off;
      fastcgi_pass ${transport === "unix" ? `unix:${at}` : at};
    }
  }
}
`;
