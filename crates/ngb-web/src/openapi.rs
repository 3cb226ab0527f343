//! `/api/openapi.json`, made of the table of routes.

use axum::{Json, extract::State};
use serde_json::{Map, Value, json};

use crate::{
    App, login,
    routes::{Route, TABLE},
};

/// The API for machines that read.
pub(crate) async fn show(State(app): State<App>) -> Json<Value> {
    Json(document(app.gateway.about().version))
}

fn document(version: &str) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in TABLE {
        let methods = paths.entry(route.path).or_insert_with(|| json!({}));
        methods[route.method] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "NanoGridBot", "version": version, "description": "docs/api.md says more." },
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": { "Error": {
                "type": "object",
                "properties": { "error": {
                    "type": "object",
                    "required": ["code", "message"],
                    "properties": {
                        "code": { "type": "string" },
                        "message": { "type": "string" },
                        "hint": { "type": ["string", "null"] },
                    },
                } },
            } },
        },
    })
}

fn operation(route: &Route) -> Value {
    let error = json!({ "$ref": "#/components/schemas/Error" });
    let names = route.path.split('/').filter_map(|it| it.strip_prefix('{')?.strip_suffix('}'));
    let parameters = names.map(|name| {
        json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
    });
    let mut res = json!({
        "summary": route.says,
        "parameters": parameters.collect::<Vec<_>>(),
        "responses": {
            "200": { "description": "Done." },
            "default": { "description": "Refused.", "content": { "application/json": { "schema": error } } },
        },
    });
    if let Some(right) = route.want.right() {
        res["security"] = json!([{ "token": [] }]);
        res["x-right"] = login::word(right).into();
    }
    if matches!(route.method, "post" | "patch") {
        let any = json!({ "schema": { "type": "object" } });
        res["requestBody"] = json!({ "content": { "application/json": any } });
    }
    res
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_in_it() {
        let document = document("1");
        for route in TABLE {
            let operation = &document["paths"][route.path][route.method];
            assert_eq!(operation["summary"], route.says);
            let in_path = route.path.matches('{').count();
            assert_eq!(
                operation["parameters"].as_array().unwrap().len(),
                in_path,
                "{}",
                route.path
            );
        }
    }
}
