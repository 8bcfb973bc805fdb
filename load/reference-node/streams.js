// Server-Sent Events: everyone who watches gets every score.
const clients = new Set();

export function open(request, response, snapshot) {
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache", Connection: "keep-alive" });
  response.write(`event: leaderboard\ndata: ${snapshot}\n\n`);
  clients.add(response);
  request.on("close", () => clients.delete(response));
}

export function broadcast(message) {
  const frame = `event: score-updated\ndata: ${message}\n\n`;
  for (const client of clients) client.write(frame);
}

setInterval(() => {
  for (const client of clients) client.write(": keep-alive\n\n");
}, 30_000).unref();
