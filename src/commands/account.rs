//! `scoreboard account`: the first administrator's account, and links for those who forgot their password. Works beside a running
//! server and without one.

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};

use crate::{
    config::{accounts::public_url, storage::StorageSettings},
    domain::{
        account::{Account, AccountFilter, Login, NewAccount, Role},
        audit::Act,
        caller::Caller,
        time::{Clock, Timestamp},
    },
    repositories::ledger::{Ledger, LedgerError, LedgerSettings},
    services::accounts::{administration::new_reset, link},
};

/// What is to be done.
#[derive(Debug, Args)]
pub struct AccountArgs {
    #[command(subcommand)]
    command: AccountCommand,
}

#[derive(Debug, Subcommand)]
enum AccountCommand {
    /// Make an account, and print the link to choose its password by
    Create {
        #[command(flatten)]
        named: Named,
        /// player, moderator or admin; may be given several times.
        #[arg(long = "role", default_value = "player", value_parser = role)]
        roles: Vec<Role>,
    },
    /// Print a link to choose a new password by, good once within a day
    ResetLink(Named),
}

/// Whose account it is, and where.
#[derive(Debug, Args)]
struct Named {
    /// By what its owner signs in: a name or an e-mail address, in any case.
    #[arg(value_parser = login)]
    login: Login,
    /// What the link begins with.
    #[arg(long, env = "PUBLIC_URL")]
    public_url: Option<String>,
    #[command(flatten)]
    storage: StorageSettings,
}

fn login(text: &str) -> Result<Login, String> {
    Login::parse(text).map_err(|error| format!("a login {error}"))
}

fn role(text: &str) -> Result<Role, String> {
    Role::named(text).ok_or_else(|| "there are player, moderator and admin".to_owned())
}

/// Prints a link.
pub async fn run(args: &AccountArgs) -> anyhow::Result<()> {
    let (AccountCommand::Create { named, .. } | AccountCommand::ResetLink(named)) = &args.command;
    let public_url = public_url(&named.public_url)?;
    let (ledger, now) = open(&named.storage).await?;
    let act = Act::of(&Caller::Server, now);
    let token = match &args.command {
        AccountCommand::Create { named, roles } => {
            let roles = roles.iter().copied().collect();
            let new = NewAccount { login: Some(named.login.clone()), roles, ..NewAccount::player(now) };
            let (token, link) = new_reset(&new.id, now);
            ledger.add_account(&new, &link, act).await.map_err(|error| match error {
                LedgerError::Taken => anyhow!("the login {} is taken", named.login.as_str()),
                other => other.into(),
            })?;
            token
        }
        AccountCommand::ResetLink(named) => {
            let account = find(&ledger, &named.login).await?;
            let (token, link) = new_reset(&account.id, now);
            ledger.give_link(&link, None, act).await?;
            token
        }
    };
    if public_url.is_none() {
        eprintln!("PUBLIC_URL is not set: put the server's address before the path.");
    }
    println!("{}", link(public_url.as_ref(), "reset", &token));
    Ok(())
}

async fn find(ledger: &Ledger, login: &Login) -> anyhow::Result<Account> {
    let filter = AccountFilter { login: Some(login.clone()), after: None };
    match ledger.accounts(&filter, 1).await?.pop() {
        Some(account) => Ok(account),
        None => bail!("nobody has the login {}", login.as_str()),
    }
}

async fn open(storage: &StorageSettings) -> anyhow::Result<(Ledger, Timestamp)> {
    storage.check()?;
    let settings = LedgerSettings { exclusive: false, ..LedgerSettings::new(storage.database_url()) };
    let ledger = Ledger::connect(&settings).await.context(storage.ledger_setting())?;
    ledger.migrate().await.context("the ledger could not be migrated")?;
    let clock = Clock::system();
    if let Some(newest) = ledger.newest_time().await? {
        clock.witness(newest);
    }
    Ok((ledger, clock.now()))
}
