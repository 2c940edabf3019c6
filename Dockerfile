FROM python:3.11-slim

RUN useradd --create-home explorer
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY --chown=explorer . .
USER explorer

EXPOSE 8501
HEALTHCHECK --start-period=30s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8501/_stcore/health')"]
CMD ["streamlit", "run", "streamlit_app.py", "--server.address=0.0.0.0"]
