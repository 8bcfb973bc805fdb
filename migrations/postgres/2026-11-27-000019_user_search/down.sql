DROP TABLE user_search;
