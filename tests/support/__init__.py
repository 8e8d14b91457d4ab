"""What tests share: real database servers, real Bursar servers, and the watchdog that ends both."""
