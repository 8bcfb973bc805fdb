//! Signing in by the ID tokens of identity providers.

use reqwest::Method;
use serde_json::{Value, json};

use super::{auth, by, run, sign_up, with};
use crate::{
    access::issuers::{Issuer, Signer, set},
    answers::{Expect, broken},
    app::{Backend, TestApp, within},
};

crate::both_backends!(
    an_identity_is_an_account_of_its_own,
    whoever_comes_many_times_at_once_is_one,
    a_token_that_proves_nothing_is_refused,
    a_guest_links_an_identity_and_keeps_everything,
    who_needs_an_invite_needs_it_with_a_provider_too,
    a_changed_list_of_providers_counts,
);

const NONCE: &str = "n-0S6_WzA2Mj";

struct Provider {
    signer: Signer,
    issuer: Issuer,
    file: std::path::PathBuf,
}

impl Provider {
    async fn start() -> Self {
        let signer = Signer::new("2026");
        let issuer = Issuer::start(set(&[&signer])).await;
        let file = std::env::temp_dir().join(format!("scoreboard-oidc-{}.json", uuid::Uuid::new_v4().simple()));
        let provider = Self { signer, issuer, file };
        provider.write("studio");
        provider
    }

    fn write(&self, id: &str) {
        let listed = json!([{
            "id": id, "issuer": "https://id.example.com", "clientIds": ["game"], "jwksUrl": self.issuer.url, "algorithms": ["ES256"],
        }]);
        std::fs::write(&self.file, listed.to_string()).unwrap();
    }

    async fn app(&self, backend: Backend, accounts: &str) -> TestApp {
        with(backend, &[&format!("--accounts={accounts}"), &format!("--oidc-providers-file={}", self.file.display())]).await
    }

    fn claims(&self, sub: &str) -> Value {
        let now = chrono::Utc::now().timestamp();
        json!({"iss": "https://id.example.com", "aud": "game", "sub": sub, "nonce": NONCE, "iat": now, "exp": now + 600, "email": "a@b.c"})
    }

    fn body(&self, claims: &Value) -> Value {
        json!({"provider": "studio", "idToken": self.signer.sign(claims), "nonce": NONCE})
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        std::fs::remove_file(&self.file).ok();
    }
}

async fn an_identity_is_an_account_of_its_own(backend: Backend) {
    let provider = Provider::start().await;
    let app = provider.app(backend, "open").await;
    let first = auth(&app, "oidc", provider.body(&provider.claims("1"))).answers(201).await;
    run(&app, &first).await;
    let again = auth(&app, "oidc", provider.body(&provider.claims("1"))).answers(200).await;
    assert_eq!(again["userId"], first["userId"]);
    assert_ne!(again["sessionId"], first["sessionId"]);
    // The same e-mail address makes nobody the same.
    let other = auth(&app, "oidc", provider.body(&provider.claims("2"))).answers(201).await;
    assert_ne!(other["userId"], first["userId"]);
}

async fn whoever_comes_many_times_at_once_is_one(backend: Backend) {
    let provider = Provider::start().await;
    let app = provider.app(backend, "open").await;
    let body = provider.body(&provider.claims("1"));
    let at_once = futures_util::future::join_all((0..8).map(|_| auth(&app, "oidc", body.clone()).send())).await;
    let mut statuses: Vec<u16> = Vec::new();
    let mut users = std::collections::BTreeSet::new();
    for answer in at_once {
        let answer = answer.unwrap();
        statuses.push(answer.status().as_u16());
        users.insert(answer.json::<Value>().await.unwrap()["userId"].to_string());
    }
    statuses.sort_unstable();
    assert_eq!((statuses, users.len()), (vec![200, 200, 200, 200, 200, 200, 200, 201], 1));
}

async fn a_token_that_proves_nothing_is_refused(backend: Backend) {
    let provider = Provider::start().await;
    let app = provider.app(backend, "open").await;
    let past = chrono::Utc::now().timestamp() - 60;
    for (claim, value) in [
        ("iss", json!("https://evil.example.com")),
        ("aud", json!("another-game")),
        ("aud", json!(["game", "another-game"])),
        ("azp", json!("another-game")),
        ("nonce", json!("another")),
        ("nonce", Value::Null),
        ("exp", json!(past)),
        ("sub", json!("")),
        ("sub", Value::Null),
    ] {
        let mut claims = provider.claims("1");
        claims[claim] = value.clone();
        let refused = auth(&app, "oidc", provider.body(&claims)).refused(401).await;
        assert!(refused["detail"].as_str().unwrap().contains("ID token"), "{claim} {value}: {refused}");
    }
    let forged = Signer::new("2026").sign(&provider.claims("1"));
    auth(&app, "oidc", json!({"provider": "studio", "idToken": forged, "nonce": NONCE})).refused(401).await;
    let unknown = Signer::new("2027").sign(&provider.claims("1"));
    auth(&app, "oidc", json!({"provider": "studio", "idToken": unknown, "nonce": NONCE})).refused(401).await;
    let body = json!({"provider": "nobody", "idToken": provider.signer.sign(&provider.claims("1")), "nonce": NONCE});
    assert_eq!(broken(&auth(&app, "oidc", body).refused(422).await), ["provider"]);
    // It signs in, and is no bearer token.
    let token = provider.signer.sign(&provider.claims("1"));
    app.anonymous(Method::GET, "/api/leaderboards").bearer_auth(token).refused(401).await;
}

async fn a_guest_links_an_identity_and_keeps_everything(backend: Backend) {
    let provider = Provider::start().await;
    let app = provider.app(backend, "open").await;
    let guest = auth(&app, "guest", json!({})).answers(201).await;
    run(&app, &guest).await;
    let link = |session: &Value, sub: &str| {
        by(&app, session, Method::POST, "/api/auth/link").json(&provider.body(&provider.claims(sub)))
    };
    assert_eq!(link(&guest, "1").answers(200).await["userId"], guest["userId"]);
    let again = auth(&app, "oidc", provider.body(&provider.claims("1"))).answers(200).await;
    assert_eq!(again["userId"], guest["userId"]);
    let path = format!("/api/leaderboards/main/entries/{}", guest["userId"].as_str().unwrap());
    assert_eq!(app.get(&path).await["entry"]["rank"], 1);
    let other = sign_up(&app, "bob@example.org").await;
    let refused = link(&other, "1").refused(409).await;
    assert!(refused["type"].as_str().unwrap().ends_with("identity-taken"), "{refused}");
    let both = json!({"login": "x@example.org", "password": "correct horse battery", "provider": "studio"});
    by(&app, &other, Method::POST, "/api/auth/link").json(&both).refused(422).await;
}

async fn who_needs_an_invite_needs_it_with_a_provider_too(backend: Backend) {
    let provider = Provider::start().await;
    let app = provider.app(backend, "invited").await;
    auth(&app, "oidc", provider.body(&provider.claims("1"))).refused(403).await;
    let app = provider.app(backend, "guests").await;
    auth(&app, "oidc", provider.body(&provider.claims("1"))).refused(404).await;
}

async fn a_changed_list_of_providers_counts(backend: Backend) {
    let provider = Provider::start().await;
    let app = provider.app(backend, "open").await;
    provider.write("renamed");
    let mut body = provider.body(&provider.claims("1"));
    auth(&app, "oidc", body.clone()).send().await.unwrap();
    body["provider"] = json!("renamed");
    within(5, "the renamed provider is known", || async {
        auth(&app, "oidc", body.clone()).send().await.unwrap().status().is_success()
    })
    .await;
}
