# Two images: `kit` has all of the kit, and the extra that EXTRA names; `server` runs the reference server.
# docker-compose.yml uses both.

FROM python:3.11-slim AS kit
WORKDIR /kit

# What changes seldom comes first, so that an edited source costs no new installation. The sources follow,
# and PYTHONPATH says where they are. EXTRA is nothing, or an extra of pyproject.toml such as `load`.
ARG EXTRA=""
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
        --constraint constraints.txt --editable ".${EXTRA:+[$EXTRA]}"

# Nothing is written but to /tmp and to volumes, so the file system may be read-only and the user anybody.
ENV PYTHONPATH=/kit PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
RUN install --directory --owner=1000 --group=1000 /data

COPY lab lab
COPY harness harness
COPY exercises exercises
COPY solutions solutions
USER 1000:1000
CMD ["chatlab", "--help"]


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
