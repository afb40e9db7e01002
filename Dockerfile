# docker build -t taxonomy-from-pictures .
# docker run --rm -v "$PWD/data:/project/data" -v "$PWD/figures:/project/figures" taxonomy-from-pictures            # the demo
# docker run ... -v ~/photos:/photos:ro taxonomy-from-pictures all DATASET=mymoths SOURCE=/photos
FROM python:3.12-slim
RUN apt-get update && apt-get install --yes --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /project
COPY requirements.txt Makefile ./
RUN make setup
COPY . .
RUN touch .venv/.ready # COPY keeps dates, and requirements.txt may be newer than what was built from it
ENTRYPOINT ["make"]
CMD ["all"]
