FROM node:20-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
COPY admin-cli/package.json admin-cli/hence.mjs admin-cli/
RUN npm ci --include=dev --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY runtime runtime
COPY channels channels
COPY outgoing outgoing
COPY admin-cli admin-cli
RUN npm run build && npm prune --omit=dev --no-audit --no-fund

FROM node:20-slim
ENV NODE_ENV=production
WORKDIR /app
# Its own files (cache, token) are the only ones it may write.
RUN mkdir .hence && chown node:node .hence && chmod 700 .hence
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY --from=build /app/admin-cli admin-cli
COPY package.json hence.yaml ./
COPY services services
USER node
VOLUME /app/.hence
EXPOSE 11223
# A Redis is not in the image: give REDIS_URL, and `--init` to docker run.
CMD ["node", "admin-cli/hence.mjs", "start", "--host", "0.0.0.0"]
