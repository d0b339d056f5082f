"""A web page that shows what a trained network sees in people's photographs and videos."""
