# One image for every process: Airflow with the DAGs, dbt and the checks. See docs/deployment.md.
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS environment
ARG UV_VERSION=0.13.9
RUN pip install --no-cache-dir --root-user-action=ignore "uv==${UV_VERSION}"
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PYTHON=/usr/local/bin/python3.11 \
    UV_PYTHON_DOWNLOADS=never
WORKDIR /app
# The libraries first: they change less often than the project.
COPY LICENSE README.md pyproject.toml uv.lock ./
RUN uv sync --frozen --extra postgres --no-dev --no-install-project
COPY plugins plugins
RUN uv sync --frozen --extra postgres --no-dev \
    && python -m compileall -q plugins

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="receivables-warehouse" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 receivables \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin receivables \
    && install -d -o receivables -g receivables -m 0750 /var/lib/receivables
WORKDIR /app
COPY --from=environment /app /app
COPY dags dags
COPY dbt_project dbt_project
COPY docker docker
COPY docs docs
COPY expectations expectations
COPY sources sources
COPY receivables.yml ./
ENV HOME=/tmp \
    LANG=C.UTF-8 \
    PATH=/app/.venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1
# Everything under /app belongs to root and is only read; what a run writes is under /var/lib/receivables.
USER 10001:10001
VOLUME /var/lib/receivables
ENTRYPOINT ["/app/docker/entrypoint.sh"]
CMD ["airflow", "version"]
