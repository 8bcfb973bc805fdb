DROP TABLE guest_arrivals;
DROP TABLE sign_in_counts;
DROP TABLE account_links;
DROP TABLE ended_sessions;
DROP TABLE sessions;
DROP TABLE account_identities;
DROP TABLE accounts;
