//! Accounts, as administrators see them.

use reqwest::Method;
use serde_json::json;

use super::*;

crate::both_backends!(
    accounts_are_listed_in_pages,
    new_roles_end_sessions,
    a_disabled_account_does_not_sign_in,
    a_deleted_account_leaves_its_scores,
    an_administrator_hands_over_links_and_sets_no_password,
    whoever_is_erased_has_no_account,
);

fn path(session: &Value) -> String {
    format!("/api/accounts/{}", session["userId"].as_str().unwrap())
}

async fn accounts_are_listed_in_pages(backend: Backend) {
    let app = open(backend).await;
    let ada = sign_up(&app, "Ada").await;
    for _ in 0..4 {
        auth(&app, "guest", json!({})).answers(201).await;
    }
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = manager(&app, Method::GET, &format!("/api/accounts?limit=2{cursor}")).answers(200).await;
        ids.extend(page["accounts"].as_array().unwrap().iter().map(|account| account["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!((ids.len(), ids.is_sorted(), ids[0].as_str()), (5, true, ada["userId"].as_str().unwrap()));
    let found = manager(&app, Method::GET, "/api/accounts?login=ADA").answers(200).await;
    assert_eq!(found["nextCursor"], json!(null));
    let [account] = found["accounts"].as_array().unwrap().as_slice() else { panic!("{found}") };
    assert_eq!(manager(&app, Method::GET, &path(&ada)).answers(200).await, *account);
    let expected = (&json!("ada"), &json!(["player"]), &json!(false));
    assert_eq!((&account["login"], &account["roles"], &account["disabled"]), expected);
    assert_eq!(account.as_object().unwrap().len(), 6, "{account}");
    manager(&app, Method::GET, "/api/accounts/nobody").refused(404).await;
    manager(&app, Method::GET, "/api/accounts?cursor=x").refused(422).await;
}

async fn new_roles_end_sessions(backend: Backend) {
    let app = open(backend).await;
    let ada = sign_up(&app, "ada").await;
    let patch = |body: Value| manager(&app, Method::PATCH, &path(&ada)).json(&body);
    for bad in [json!({"roles": []}), json!({"roles": ["king"]}), json!({"roles": null}), json!({"login": "x"})] {
        patch(bad).refused(422).await;
    }
    patch(json!({"roles": ["player"]})).answers(200).await;
    assert!(is_accepted(&app, &ada).await, "nothing has changed");
    let changed = patch(json!({"roles": ["admin", "player"]})).answers(200).await;
    assert_eq!(changed["roles"], json!(["player", "admin"]));
    assert!(!is_accepted(&app, &ada).await);
    refresh(&app, &ada).refused(401).await;
    let admin = sign_in(&app, "ada", PASSWORD).answers(200).await;
    by(&app, &admin, Method::POST, "/api/leaderboards").json(&json!({"id": "cup", "name": "Cup"})).answers(201).await;
    by(&app, &admin, Method::GET, "/api/accounts").answers(200).await;
    manager(&app, Method::PATCH, "/api/accounts/nobody").json(&json!({})).refused(404).await;
}

async fn a_disabled_account_does_not_sign_in(backend: Backend) {
    let app = open(backend).await;
    let (ada, guest) = (sign_up(&app, "ada").await, auth(&app, "guest", json!({})).answers(201).await);
    for session in [&ada, &guest] {
        manager(&app, Method::PATCH, &path(session)).json(&json!({"disabled": true})).answers(200).await;
        assert!(!is_accepted(&app, session).await);
        refresh(&app, session).refused(401).await;
    }
    let refused = sign_in(&app, "ada", PASSWORD).refused(401).await;
    let unknown = sign_in(&app, "nobody", PASSWORD).refused(401).await;
    assert_eq!((&refused["type"], &refused["detail"]), (&unknown["type"], &unknown["detail"]));
    auth(&app, "guest", json!({"deviceSecret": guest["deviceSecret"]})).refused(401).await;
    manager(&app, Method::PATCH, &path(&ada)).json(&json!({"disabled": false})).answers(200).await;
    sign_in(&app, "ada", PASSWORD).answers(200).await;
}

async fn a_deleted_account_leaves_its_scores(backend: Backend) {
    let app = open(backend).await;
    let ada = sign_up(&app, "ada").await;
    run(&app, &ada).await;
    let before = app.get("/api/leaderboard").await;
    manager(&app, Method::DELETE, &path(&ada)).responds(204).await;
    manager(&app, Method::DELETE, &path(&ada)).refused(404).await;
    assert!(!is_accepted(&app, &ada).await);
    refresh(&app, &ada).refused(401).await;
    sign_in(&app, "ada", PASSWORD).refused(401).await;
    assert_eq!(app.get("/api/leaderboard").await, before);
    let again = sign_up(&app, "ada").await;
    assert_ne!(again["userId"], ada["userId"], "whoever takes the login takes no scores");
}

async fn an_administrator_hands_over_links_and_sets_no_password(backend: Backend) {
    let app = open(backend).await;
    let (ada, guest) = (sign_up(&app, "ada").await, auth(&app, "guest", json!({})).answers(201).await);
    let ask = |session: &Value| manager(&app, Method::POST, &format!("{}/reset-link", path(session)));
    let link = ask(&ada).answers(200).await;
    assert!(link["link"].as_str().unwrap().starts_with("/account/reset?token="), "{link}");
    let new = json!({"token": token_in(&link["link"]), "new": "another good password"});
    assert!(is_accepted(&app, &ada).await, "nothing has happened yet");
    auth(&app, "password/reset", new.clone()).responds(204).await;
    auth(&app, "password/reset", new).refused(401).await;
    sign_in(&app, "ada", "another good password").answers(200).await;
    ask(&guest).refused(409).await;
    manager(&app, Method::POST, "/api/accounts/nobody/reset-link").refused(404).await;
    manager(&app, Method::PATCH, &path(&ada)).json(&json!({"password": PASSWORD})).refused(422).await;
    let target = format!("account:{}", ada["userId"].as_str().unwrap());
    let done: Vec<_> = deeds(&app).await.into_iter().filter(|deed| deed.1 == target).map(|deed| deed.0).collect();
    assert_eq!(done, ["account.create", "account.reset-link", "account.reset"]);
    let invite = |body: Value| manager(&app, Method::POST, "/api/accounts/invites").json(&body);
    invite(json!({"login": "ada"})).refused(409).await;
    invite(json!({"roles": ["king"]})).refused(422).await;
    let anybody = invite(json!({"roles": ["moderator"]})).answers(201).await;
    let body = json!({"login": "mo", "password": PASSWORD, "invite": token_in(&anybody["link"])});
    assert_eq!(auth(&app, "sign-up", body).answers(201).await["roles"], json!(["moderator"]));
    let reset = json!({"token": token_in(&anybody["link"]), "new": PASSWORD});
    auth(&app, "password/reset", reset).refused(401).await;
}

async fn whoever_is_erased_has_no_account(backend: Backend) {
    let app = open(backend).await;
    let ada = sign_up(&app, "ada").await;
    run(&app, &ada).await;
    let erase = json!({"decisions": [{"type": "erase", "userId": ada["userId"], "scores": "keep", "reason": "asked for it"}]});
    let decided = app.with("mod", "moderation:write", Method::POST, "/api/moderation/decisions").json(&erase).answers(200).await;
    assert_eq!(decided["results"][0]["status"], 200, "{decided}");
    manager(&app, Method::GET, &path(&ada)).refused(404).await;
    crate::app::eventually("the session has ended", || async { !is_accepted(&app, &ada).await }).await;
    sign_in(&app, "ada", PASSWORD).refused(401).await;
}
