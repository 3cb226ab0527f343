// The API: one way to ask, one kind of error.

/** What the server said no with: `code` to branch on, `message` and `hint` to show. */
export class ApiError extends Error {
  constructor(status, { code, message, hint }) {
    super(message);
    this.status = status;
    this.code = code;
    this.hint = hint;
  }
}

let onLoggedOut = () => {};

/** What to do when the server wants a login. */
export function whenLoggedOut(what) {
  onLoggedOut = what;
}

/** Asks the API. A request that never reached the server is an `ApiError` with status 0. */
export async function api(method, path, body) {
  const options = { method, headers: {}, credentials: "same-origin" };
  if (body !== undefined) {
    options.headers["content-type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new ApiError(0, { code: "offline", message: "offline" });
  }
  const text = await response.text();
  let json = null;
  try {
    json = text ? JSON.parse(text) : null;
  } catch {
    throw new ApiError(response.status, { code: "not_json", message: text.slice(0, 200) });
  }
  if (response.ok) return json;
  if (response.status === 401 && path !== "/api/login") onLoggedOut();
  throw new ApiError(response.status, json?.error ?? { code: "http", message: `HTTP ${response.status}` });
}

export const get = (path) => api("GET", path);
export const post = (path, body = {}) => api("POST", path, body);
export const patch = (path, body) => api("PATCH", path, body);
export const remove = (path, body) => api("DELETE", path, body);
