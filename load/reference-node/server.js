// The weekend alternative: the seed document's architecture with Express, pg and ioredis, as one would write it in a few evenings.
// It answers enough of Scoreboard's API for the same load to be put on it.
import express from "express";
import { rateLimit } from "express-rate-limit";
import jwt from "jsonwebtoken";
import { z } from "zod";
import * as cache from "./cache.js";
import * as database from "./database.js";
import * as streams from "./streams.js";

const { JWT_SECRET, PORT = "8083", RATE_LIMIT_PER_MINUTE = "100000000" } = process.env;
if (!JWT_SECRET || JWT_SECRET.length < 32) throw new Error("JWT_SECRET of 32 bytes at least, please");

const submission = z.object({ actionId: z.string().min(1).max(64), userId: z.string().min(1).max(128) });
const points = new Map();

function authenticate(request, response, next) {
  const [scheme, token] = (request.headers.authorization ?? "").split(" ");
  try {
    if (scheme !== "Bearer") throw new Error("no token");
    request.user = jwt.verify(token, JWT_SECRET, { algorithms: ["HS256"] });
    next();
  } catch {
    response.status(401).json({ error: "no or bad token" });
  }
}

const app = express();
app.disable("x-powered-by");
app.use("/api", rateLimit({ windowMs: 60_000, limit: Number(RATE_LIMIT_PER_MINUTE), validate: false }));
app.use(express.json());

app.post("/api/scores", authenticate, async (request, response, next) => {
  try {
    const parsed = submission.safeParse(request.body);
    if (!parsed.success) return response.status(422).json({ error: parsed.error.issues });
    const { actionId, userId } = parsed.data;
    if (!points.has(actionId)) return response.status(422).json({ error: "no such action" });
    const at = new Date();
    const saved = await database.addScore(userId, points.get(actionId), actionId);
    await cache.invalidate();
    await cache.publish({ userId, actionId, score: saved.newScore, ...saved, at: at.toISOString().replace("Z", "000Z") });
    response.json({ ...saved, userId, actionId });
  } catch (error) {
    next(error);
  }
});

async function entries(limit) {
  return `{"leaderboardId":"main","entries":${await cache.cachedTop(limit, database.top)}}`;
}

app.get(["/api/leaderboard", "/api/leaderboards/:id/entries"], async (request, response, next) => {
  try {
    const limit = Math.min(Math.max(Number(request.query.limit) || 10, 1), 1000);
    response.type("json").send(await entries(limit));
  } catch (error) {
    next(error);
  }
});

app.get(["/api/leaderboard/stream", "/api/leaderboards/:id/stream"], async (request, response, next) => {
  try {
    streams.open(request, response, await entries(10));
  } catch (error) {
    next(error);
  }
});

app.get("/api/leaderboards/:id", (request, response) => response.json({ id: request.params.id }));
app.post("/api/leaderboards", authenticate, (_request, response) => response.status(201).json({}));
app.post("/api/actions", authenticate, async (request, response, next) => {
  try {
    const { id, points: worth = 1 } = request.body;
    await database.pool.query("INSERT INTO reference_node.actions VALUES ($1, $2) ON CONFLICT DO NOTHING", [id, worth]);
    points.set(id, worth);
    response.status(201).json({ id, points: worth });
  } catch (error) {
    next(error);
  }
});

app.use((error, _request, response, _next) => {
  console.error(error);
  response.status(500).json({ error: "internal error" });
});

await database.migrate();
for (const { id, points: worth } of (await database.pool.query("SELECT * FROM reference_node.actions")).rows) points.set(id, worth);
await cache.subscribe(streams.broadcast);
app.listen({ port: Number(PORT), host: "127.0.0.1", backlog: 4096 }, () => console.log(`listening on 127.0.0.1:${PORT}`));
