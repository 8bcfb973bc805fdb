//! Statements that diesel prepares once per connection, independent of their arguments.
//!
//! diesel's own `ON CONFLICT` upserts, multi-row inserts and `sql_query` are prepared again for every call: one more round trip
//! each. A statement with a type of its own is cached by that type, for a batch of any length.

/// Declares a statement: a struct with one field per `?` of the SQL text, in order. The SQL must not hold any other `?`.
macro_rules! statement {
    ($(#[$doc:meta])* $backend:ty, $name:ident { $($field:ident: $sql_type:ty = $rust:ty),* $(,)? } -> $row:ty, $sql:expr) => {
        $(#[$doc])*
        pub struct $name<'a> {
            $(pub $field: &'a $rust),*
        }

        impl diesel::query_builder::QueryFragment<$backend> for $name<'_> {
            fn walk_ast<'b>(
                &'b self,
                mut out: diesel::query_builder::AstPass<'_, 'b, $backend>,
            ) -> diesel::QueryResult<()> {
                let sql = $sql;
                let mut text = sql.split('?');
                $(
                    out.push_sql(text.next().unwrap_or_default());
                    out.push_bind_param::<$sql_type, _>(self.$field)?;
                )*
                out.push_sql(text.next().unwrap_or_default());
                Ok(())
            }
        }

        impl diesel::query_builder::QueryId for $name<'_> {
            type QueryId = $name<'static>;
            const HAS_STATIC_QUERY_ID: bool = true;
        }

        impl diesel::query_builder::Query for $name<'_> {
            type SqlType = $row;
        }
    };
}

pub(super) use statement;
